-- The embeddings in a scoring job's shards whose samples are in the pool.
SELECT sample_id, embedding
FROM read_parquet($files) AS scored
SEMI JOIN (FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
