-- The rows in a scoring job's shards whose samples are in the pool, without the embeddings.
SELECT COLUMNS(name -> name NOT IN ('embedding', 'prompt_embedding'))
FROM read_parquet($files) AS scored
SEMI JOIN (FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
