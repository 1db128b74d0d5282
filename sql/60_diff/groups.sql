-- Properties of the samples that only one of two experiments selects, that both select, and of the whole pool.
WITH selected AS (
    SELECT sample_id, bool_or(experiment = $one) AS by_one, bool_or(experiment = $other) AS by_other
    FROM selections.samples
    WHERE experiment IN ($one, $other)
    GROUP BY sample_id
),
sides AS (
    SELECT
        sample_id,
        CASE WHEN by_one AND by_other THEN 'both' WHEN by_one THEN 'only_one' ELSE 'only_other' END AS side
    FROM selected
    UNION ALL
    SELECT sample_id, 'pool'
    FROM pools.samples
    WHERE pool = $pool
)
SELECT
    side,
    count(*) AS samples,
    median(tokens.prompt_tokens) AS prompt_tokens,
    median(tokens.answer_tokens) AS answer_tokens,
    avg(samples.turns) AS turns
FROM sides
JOIN pools.samples AS samples ON samples.pool = $pool AND samples.sample_id = sides.sample_id
LEFT JOIN features.token_count AS tokens
    ON tokens.pool = $pool AND tokens.model = $model AND tokens.sample_id = sides.sample_id
GROUP BY side
ORDER BY list_position(['only_one', 'only_other', 'both', 'pool'], side)
