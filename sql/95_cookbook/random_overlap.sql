-- How stable is random selection?
-- The number of samples that each pair of random draws shares, and the expected number for two draws of their size,
-- with the standard deviation (hypergeometric).
-- Ask: selection-platform sql @random_overlap
WITH sizes AS (SELECT pool, count(*) AS size FROM pools.samples GROUP BY pool),
draws AS (
    SELECT pool, model, budget, seed, sample_id
    FROM experiments.keys AS keys
    JOIN selections.samples AS selected USING (experiment)
    WHERE keys.method = 'random' AND keys.pool_size IS NULL
),
seeds AS (SELECT pool, model, budget, seed, count(*) AS samples FROM draws GROUP BY ALL),
pairs AS (
    SELECT one.pool, one.model, one.budget, one.seed AS seed, other.seed AS other_seed, one.samples
    FROM seeds AS one
    JOIN seeds AS other
        ON other.pool = one.pool AND other.model IS NOT DISTINCT FROM one.model AND other.budget = one.budget
    WHERE one.seed < other.seed
)
SELECT
    pool,
    model,
    budget,
    seed,
    other_seed,
    (
        SELECT count(*)
        FROM draws AS one
        JOIN draws AS other
            ON other.pool = one.pool
            AND other.model IS NOT DISTINCT FROM one.model
            AND other.budget = one.budget
            AND other.sample_id = one.sample_id
        WHERE
            one.pool = pairs.pool
            AND one.model IS NOT DISTINCT FROM pairs.model
            AND one.budget = pairs.budget
            AND one.seed = pairs.seed
            AND other.seed = pairs.other_seed
    ) AS shared,
    round(samples * samples / size, 1) AS expected,
    round(sqrt(samples * samples / size * (size - samples) / size * (size - samples) / (size - 1)), 1) AS deviation
FROM pairs
JOIN sizes USING (pool)
ORDER BY pool, model, budget, seed, other_seed
