-- How much better an arm does than random runs, for each item of each benchmark: mean over its seeds minus mean over theirs.
WITH runs AS (
    SELECT board.model, board.pool, keys.method, keys.budget, board.experiment
    FROM reports.leaderboard AS board
    JOIN experiments.keys AS keys USING (experiment)
    WHERE board.measure = 'average'
),
budgets AS (SELECT DISTINCT budget FROM runs WHERE method NOT IN ('base', 'all_data')),
in_cells AS (
    SELECT model, pool, budgets.budget, method, experiment
    FROM runs
    JOIN budgets ON runs.budget = budgets.budget OR method IN ('base', 'all_data')
),
of_arms AS (
    SELECT
        model,
        pool,
        budget,
        method,
        benchmark,
        item_id,
        avg(100 * correct) AS correct,
        any_value(weight) AS weight
    FROM in_cells
    JOIN benchmarks.items AS items USING (experiment)
    JOIN benchmarks.results AS results USING (experiment, benchmark, metric)
    WHERE results."primary" AND NOT starts_with(benchmark, 'held_out_loss/')
    GROUP BY ALL
)
SELECT arm.model, arm.pool, arm.budget, arm.method, benchmark, item_id, arm.correct - random.correct AS difference,
    arm.weight
FROM of_arms AS arm
JOIN (FROM of_arms WHERE method = 'random') AS random USING (model, pool, budget, benchmark, item_id)
WHERE arm.method != 'random'
ORDER BY arm.model, arm.pool, arm.budget, arm.method, benchmark, item_id
