-- Of each arm's written answers, every number beside the headline: means over its seeds, in percent.
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
)
SELECT model, pool, budget, method, benchmark, metric, "primary", 100 * avg("value") AS "value"
FROM in_cells
JOIN benchmarks.results AS results USING (experiment)
WHERE benchmark IN (SELECT benchmark FROM benchmarks.results WHERE metric = 'ended')
GROUP BY ALL
ORDER BY model, pool, budget, method, benchmark, "primary" DESC, metric
