-- For each item of each benchmark, how much better than random runs an arm does: mean over its seeds minus mean over theirs.
-- An item is known by its task too: two subsets may have an item of the same content.
-- card_changed: whether the arm's answers were found, or ended, more or less often than those of random runs.
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
        task,
        item_id,
        avg(100 * correct) AS correct,
        any_value(weight) AS weight
    FROM in_cells
    JOIN benchmarks.items AS items USING (experiment)
    JOIN benchmarks.results AS results USING (experiment, benchmark, metric)
    WHERE results."primary" AND NOT starts_with(benchmark, 'held_out_loss/')
    GROUP BY ALL
),
cards AS (
    SELECT model, pool, budget, method, benchmark, task, item_id, metric, avg(correct) AS share
    FROM in_cells
    JOIN benchmarks.items AS items USING (experiment)
    WHERE metric IN ('answer_found', 'ended')
    GROUP BY ALL
),
changed AS (
    SELECT arm.model, arm.pool, arm.budget, arm.method, benchmark, task, item_id,
        bool_or(abs(arm.share - random.share) > 1e-6) AS card_changed
    FROM cards AS arm
    JOIN (FROM cards WHERE method = 'random') AS random USING (model, pool, budget, benchmark, task, item_id, metric)
    GROUP BY ALL
)
SELECT arm.model, arm.pool, arm.budget, arm.method, benchmark, task, item_id, arm.correct - random.correct AS difference,
    arm.weight, coalesce(changed.card_changed, false) AS card_changed
FROM of_arms AS arm
JOIN (FROM of_arms WHERE method = 'random') AS random USING (model, pool, budget, benchmark, task, item_id)
LEFT JOIN changed
    ON (changed.model, changed.pool, changed.budget, changed.method, changed.benchmark, changed.task, changed.item_id)
    = (arm.model, arm.pool, arm.budget, arm.method, arm.benchmark, arm.task, arm.item_id)
WHERE arm.method != 'random'
ORDER BY arm.model, arm.pool, arm.budget, arm.method, benchmark, task, item_id
