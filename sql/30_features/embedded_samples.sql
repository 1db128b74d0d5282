-- The samples that have an embedding.
SELECT sample_id FROM features.sample_embedding WHERE pool = $pool AND model = $model
