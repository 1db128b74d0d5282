-- $experiments: keys, in the order in which arms should appear.
WITH shown AS (
    SELECT
        keys.*,
        list_position($experiments::VARCHAR[], keys.experiment) AS place,
        count(DISTINCT keys.seed) OVER (PARTITION BY keys.method) AS seeds,
        count(DISTINCT keys.budget) OVER (PARTITION BY keys.method) AS budgets
    FROM experiments.keys AS keys
    WHERE list_contains($experiments::VARCHAR[], keys.experiment)
),
-- The base model was not trained on any pool, so it appears in every column.
columns AS (
    SELECT
        shown.experiment,
        shown.place,
        shown.model,
        pools.pool,
        CASE WHEN shown.seeds > 1 THEN shown.method || ' s' || shown.seed ELSE shown.method END
        || CASE WHEN shown.budgets > 1 AND shown.budget > 0 THEN ' of ' || shown.budget ELSE '' END AS arm
    FROM shown
    JOIN (SELECT unnest($pools::VARCHAR[]) AS pool) AS pools ON shown.pool IS NULL OR shown.pool = pools.pool
),
benchmark_percent AS (
    SELECT experiment, benchmark, 100 * "value" AS "value"
    FROM benchmarks.results
    WHERE "primary" AND NOT starts_with(benchmark, 'held_out_loss/')
),
measures AS (
    SELECT columns.*, percent.benchmark AS measure, percent."value"
    FROM columns JOIN benchmark_percent AS percent USING (experiment)
    UNION ALL
    SELECT columns.*, 'average', avg(percent."value")
    FROM columns JOIN benchmark_percent AS percent USING (experiment)
    GROUP BY ALL
    UNION ALL
    SELECT columns.*, 'held_out_loss', results."value"
    FROM columns
    JOIN benchmarks.results
        ON results.experiment = columns.experiment AND results.benchmark = 'held_out_loss/' || columns.pool
)
SELECT measure, arm, model, pool, "value", experiment
FROM measures
ORDER BY measure, place, list_position($pools::VARCHAR[], pool)
