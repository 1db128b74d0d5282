-- Which topic clusters does each method over-sample?
-- For each experiment, the cluster with the most samples above its share of the pool. The k-means variants show how
-- much this can be reduced.
-- Ask: selection-platform sql @oversampled_clusters --set pool=instruct-mix
WITH selected AS (
    SELECT keys.experiment, clusters.model, clusters.cluster, count(*) AS samples
    FROM experiments.keys AS keys
    JOIN selections.samples USING (experiment)
    JOIN features.sample_cluster AS clusters USING (pool, model, sample_id)
    WHERE keys.pool = $pool AND keys.pool_size IS NULL AND keys.method != 'all_data'
    GROUP BY keys.experiment, clusters.model, clusters.cluster
),
sizes AS (
    SELECT model, cluster, count(*) AS size
    FROM features.sample_cluster
    WHERE pool = $pool
    GROUP BY model, cluster
),
shares AS (SELECT *, size / sum(size) OVER (PARTITION BY model) AS share FROM sizes),
compared AS (
    SELECT
        experiment,
        cluster,
        samples,
        share * sum(samples) OVER (PARTITION BY experiment) AS expected
    FROM selected
    JOIN shares USING (model, cluster)
)
SELECT experiment, cluster, samples, round(expected, 1) AS expected, round(samples / compared.expected, 1) AS times
FROM compared
QUALIFY row_number() OVER (PARTITION BY experiment ORDER BY samples - compared.expected DESC, cluster) = 1
ORDER BY samples - compared.expected DESC, experiment
