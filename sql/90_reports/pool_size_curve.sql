-- $experiments: experiments on sub-pools, and the experiments on whole pools to compare them with.
WITH shown AS (
    FROM experiments.keys WHERE list_contains($experiments::VARCHAR[], experiment)
),
results AS (
    SELECT experiment, benchmark, "value" FROM benchmarks.results WHERE "primary"
),
measures AS (
    SELECT experiment, benchmark AS measure, 100 * "value" AS "value"
    FROM results
    WHERE NOT starts_with(benchmark, 'held_out_loss/')
    UNION ALL
    SELECT experiment, 'average', 100 * avg("value")
    FROM results
    WHERE NOT starts_with(benchmark, 'held_out_loss/')
    GROUP BY experiment
    UNION ALL
    SELECT experiment, 'held_out_loss', "value"
    FROM results
    JOIN shown USING (experiment)
    WHERE benchmark = 'held_out_loss/' || shown.pool
),
sizes AS (SELECT pool, count(*) AS samples FROM pools.samples GROUP BY pool)
SELECT
    measure,
    model,
    shown.pool,
    budget,
    coalesce(pool_size, samples)::INTEGER AS pool_size,
    pool_size IS NULL AS whole,
    method,
    seed,
    "value"
FROM shown
JOIN measures USING (experiment)
JOIN sizes ON sizes.pool = shown.pool
ORDER BY measure, model, shown.pool, budget, pool_size, method, seed
