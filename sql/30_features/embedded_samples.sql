-- The samples of a pool that have an embedding, either in the pool itself or in the pool that it is part of.
SELECT sample_id
FROM features.sample_embedding
SEMI JOIN (FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
WHERE pool = $embedded_pool AND model = $model
