-- The samples that a wrapper picks from: the cluster of each, and its quality, the share of the samples with a score that
-- score no higher: above 0, at most 1, and the same for equal scores. Scores are those in the table $scores for
-- $scores_pool, which is the pool itself or the pool that it is part of.
SELECT clusters.sample_id, clusters.cluster, cume_dist() OVER (ORDER BY scores.score) AS quality
FROM features.sample_cluster AS clusters
JOIN query_table($scores) AS scores
    ON scores.pool = $scores_pool
    AND scores.model IS NOT DISTINCT FROM $scores_model
    AND scores.sample_id = clusters.sample_id
WHERE clusters.pool = $pool AND clusters.model = $model AND scores.score IS NOT NULL
ORDER BY clusters.sample_id
