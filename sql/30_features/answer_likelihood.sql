-- The rows of a scoring job's shards, of those samples that are in the pool. Every column but the embeddings.
SELECT COLUMNS(name -> name NOT IN ('embedding', 'prompt_embedding'))
FROM read_parquet($files) AS scored
SEMI JOIN (FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
