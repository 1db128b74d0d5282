-- How many samples in a pool's shards can be selected and are also held out.
SELECT count(*) AS samples
FROM (SELECT DISTINCT sample_id FROM read_parquet($files) WHERE split = 'pool')
SEMI JOIN (SELECT sample_id FROM read_parquet($files) WHERE split != 'pool') USING (sample_id)
