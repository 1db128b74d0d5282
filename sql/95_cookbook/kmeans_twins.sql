-- How much does k-means change what a method selects?
-- For each method and its k-means variant: the samples that both select, and the number of clusters in each selection.
-- Ask: selection-platform sql @kmeans_twins
WITH chosen AS (
    SELECT keys.pool, keys.model, keys.budget, keys.seed, keys.method, selected.sample_id, clusters.cluster
    FROM experiments.keys AS keys
    JOIN selections.samples AS selected USING (experiment)
    JOIN features.sample_cluster AS clusters USING (pool, model, sample_id)
    WHERE keys.pool_size IS NULL
),
summaries AS (
    SELECT pool, model, budget, seed, method, list(sample_id) AS ids, count(DISTINCT cluster) AS clusters
    FROM chosen
    GROUP BY ALL
)
SELECT
    plain.pool,
    plain.model,
    plain.budget,
    plain.seed,
    plain.method,
    len(list_intersect(plain.ids, twin.ids)) AS shared,
    plain.clusters,
    twin.clusters AS twin_clusters
FROM summaries AS plain
JOIN summaries AS twin
    ON twin.method = 'km_' || plain.method
    AND twin.pool = plain.pool
    AND twin.model = plain.model
    AND twin.budget = plain.budget
    AND twin.seed = plain.seed
ORDER BY plain.pool, plain.model, plain.budget, plain.seed, shared DESC, plain.method
