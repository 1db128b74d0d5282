-- The cluster of each sample of a pool.
SELECT sample_id, cluster
FROM features.sample_cluster
WHERE pool = $pool AND model = $model
ORDER BY sample_id
