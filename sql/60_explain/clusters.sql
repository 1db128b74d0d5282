-- A sample's cluster, the cluster's size, and how many of its samples are nearer to its centre.
SELECT
    mine.pool,
    mine.model,
    mine.cluster,
    mine.distance,
    count(*) FILTER (others.cluster = mine.cluster) AS cluster_size,
    count(*) FILTER (others.cluster = mine.cluster AND others.distance < mine.distance) AS nearer,
    count(*) AS samples
FROM features.sample_cluster AS mine
JOIN features.sample_cluster AS others USING (pool, model)
WHERE mine.sample_id = $sample_id
GROUP BY ALL
ORDER BY mine.pool, mine.model
