-- The embeddings in a scoring job's shards, of those samples that are in the pool.
SELECT sample_id, embedding
FROM read_parquet($files) AS scored
SEMI JOIN (FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
