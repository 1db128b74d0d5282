-- Minus the position in the order of picking. Samples without a score in the table $scores cannot be picked; see
-- candidates.sql.
SELECT
    clusters.sample_id,
    -picks.position::DOUBLE AS score,
    CASE
        WHEN picks.position IS NOT NULL THEN NULL
        WHEN scores.score IS NULL THEN coalesce(scores.dropped, 'no score to be judged by')
        ELSE 'not among the picks up to the largest budget'
    END AS dropped
FROM features.sample_cluster AS clusters
LEFT JOIN query_table($scores) AS scores
    ON scores.pool = $scores_pool
    AND scores.model IS NOT DISTINCT FROM $scores_model
    AND scores.sample_id = clusters.sample_id
LEFT JOIN read_parquet($picks) AS picks ON picks.sample_id = clusters.sample_id
WHERE clusters.pool = $pool AND clusters.model = $model
