-- Every run's value of every measure. The base model and all data have no budget, so they are repeated for each.
WITH runs AS (
    SELECT board.measure, board.model, board.pool, keys.method, keys.budget, keys.seed, board."value"
    FROM reports.leaderboard AS board
    JOIN experiments.keys AS keys USING (experiment)
),
budgets AS (SELECT DISTINCT budget FROM runs WHERE method NOT IN ('base', 'all_data'))
SELECT measure, model, pool, budgets.budget, method, seed, "value"
FROM runs
JOIN budgets ON runs.budget = budgets.budget OR method IN ('base', 'all_data')
ORDER BY measure, model, pool, budgets.budget, method, seed
