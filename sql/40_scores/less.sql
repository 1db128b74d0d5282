-- The mean over the warm-up's checkpoints, weighted by learning rate, for the group of targets that a sample helps most.
-- $weights: other weights of the checkpoints, in order; NULL means the learning rates.
WITH weighted AS (
    SELECT *, coalesce(list_extract($weights::DOUBLE[], epoch), mean_learning_rate) AS weight
    FROM features.gradient_influence
    WHERE pool = $pool AND model = $model AND direction = $direction
),
of_group AS (
    SELECT sample_id, target, sum(weight * influence) / sum(weight) FILTER (influence IS NOT NULL) AS influence
    FROM weighted
    GROUP BY sample_id, target
)
SELECT
    sample_id,
    max(influence) AS score,
    CASE WHEN max(influence) IS NULL THEN 'no token of the answer fits the scoring window' END AS dropped
FROM of_group
GROUP BY sample_id
