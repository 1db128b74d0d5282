-- Spearman's correlation of two methods' scores, over samples that have both; ties get their mean rank. NULL if fewer
-- than two samples have both, or one method's scores are all equal.
WITH both_scored AS (
    SELECT a.score AS one, b.score AS other
    FROM query_table($one_table) AS a
    JOIN query_table($other_table) AS b USING (sample_id)
    WHERE
        a.pool = $one_pool
        AND b.pool = $other_pool
        AND a.model IS NOT DISTINCT FROM $one_model
        AND a.seed IS NOT DISTINCT FROM $one_seed
        AND a.budget IS NOT DISTINCT FROM $one_budget
        AND b.model IS NOT DISTINCT FROM $other_model
        AND b.seed IS NOT DISTINCT FROM $other_seed
        AND b.budget IS NOT DISTINCT FROM $other_budget
        AND a.score IS NOT NULL
        AND b.score IS NOT NULL
),
ranked AS (
    SELECT
        rank() OVER (ORDER BY one) + (count(*) OVER (PARTITION BY one) - 1) / 2 AS one_rank,
        rank() OVER (ORDER BY other) + (count(*) OVER (PARTITION BY other) - 1) / 2 AS other_rank
    FROM both_scored
)
SELECT
    count(*) AS samples,
    CASE
        WHEN count(DISTINCT one_rank) > 1 AND count(DISTINCT other_rank) > 1 THEN corr(one_rank, other_rank)
    END AS correlation
FROM ranked
