-- The ratings in a rating job's shards whose samples are in the pool.
SELECT *
FROM read_parquet($files) AS rated
SEMI JOIN (FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
