-- Spearman's correlation of a partition's scores with the lengths of the last answers in characters; ties get their mean
-- rank. For several seeds or budgets, the strongest. NULL if all scores, or all lengths, are equal.
WITH answers AS (
    SELECT sample_id, length(messages[-1].content) AS characters
    FROM pools.samples
    WHERE pool = $pool
),
scored AS (
    SELECT scores.seed, scores.budget, scores.score, answers.characters
    FROM query_table($table) AS scores
    JOIN answers USING (sample_id)
    WHERE scores.pool = $pool AND scores.model IS NOT DISTINCT FROM $model AND scores.score IS NOT NULL
),
ranked AS (
    SELECT
        seed,
        budget,
        rank() OVER (PARTITION BY seed, budget ORDER BY score)
        + (count(*) OVER (PARTITION BY seed, budget, score) - 1) / 2 AS score_rank,
        rank() OVER (PARTITION BY seed, budget ORDER BY characters)
        + (count(*) OVER (PARTITION BY seed, budget, characters) - 1) / 2 AS length_rank
    FROM scored
),
correlations AS (
    SELECT
        count(*) AS samples,
        CASE
            WHEN count(DISTINCT score_rank) > 1 AND count(DISTINCT length_rank) > 1 THEN corr(score_rank, length_rank)
        END AS correlation
    FROM ranked
    GROUP BY seed, budget
)
SELECT
    max_by(correlation, abs(correlation)) AS correlation,
    coalesce(max_by(samples, abs(correlation)), max(samples), 0) AS samples
FROM correlations
