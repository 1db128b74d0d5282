-- How many samples of a pool's shards are both to select from and held out.
SELECT count(*) AS samples
FROM (SELECT DISTINCT sample_id FROM read_parquet($files) WHERE split = 'pool')
SEMI JOIN (SELECT sample_id FROM read_parquet($files) WHERE split != 'pool') USING (sample_id)
