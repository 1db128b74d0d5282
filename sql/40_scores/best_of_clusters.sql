-- The best samples of each cluster, by the scores in the table $scores for $scores_pool, which is the pool itself or the
-- pool that it is part of. A cluster's quota is its share of the samples that have a score, rounded by the largest
-- remainder (ties go to the lower cluster). The score is minus the position in the order of picking: the best of every
-- cluster, then the second best of every cluster, and so on; within a turn, the higher score comes first.
WITH scored AS (
    SELECT clusters.sample_id, clusters.cluster, scores.score, scores.dropped
    FROM features.sample_cluster AS clusters
    LEFT JOIN query_table($scores) AS scores
        ON scores.pool = $scores_pool
        AND scores.model IS NOT DISTINCT FROM $scores_model
        AND scores.sample_id = clusters.sample_id
    WHERE clusters.pool = $pool AND clusters.model = $model
),
sizes AS (SELECT cluster, count(score) AS samples, sum(count(score)) OVER () AS total FROM scored GROUP BY cluster),
wanted AS (
    -- A budget above the number of scored samples takes all of them; the selection then reports what is missing.
    SELECT cluster, budget, samples, total, least(budget, total) AS wanted
    FROM sizes, (SELECT unnest($budgets::BIGINT[]) AS budget)
),
shares AS (
    SELECT
        cluster,
        budget,
        (wanted * samples) // total AS whole,
        row_number() OVER (PARTITION BY budget ORDER BY (wanted * samples) % total DESC, cluster) AS claim,
        wanted - sum((wanted * samples) // total) OVER (PARTITION BY budget) AS left_over
    FROM wanted
),
quotas AS (SELECT budget, cluster, whole + CASE WHEN claim <= left_over THEN 1 ELSE 0 END AS quota FROM shares),
turns AS (
    SELECT
        scored.*,
        quotas.budget,
        quotas.quota,
        row_number() OVER (
            PARTITION BY quotas.budget, cluster ORDER BY scored.score DESC NULLS LAST, scored.sample_id
        ) AS turn
    FROM scored
    JOIN quotas USING (cluster)
),
picked AS (
    SELECT
        budget,
        sample_id,
        row_number() OVER (PARTITION BY budget ORDER BY turn, score DESC, sample_id) AS place
    FROM turns
    WHERE score IS NOT NULL AND turn <= quota
)
SELECT
    turns.budget::INTEGER AS budget,
    turns.sample_id,
    -picked.place::DOUBLE AS score,
    CASE
        WHEN picked.place IS NOT NULL THEN NULL
        WHEN turns.score IS NULL THEN coalesce(turns.dropped, 'no score to be judged by')
        ELSE 'beyond the quota of its cluster'
    END AS dropped
FROM turns
LEFT JOIN picked USING (budget, sample_id)
