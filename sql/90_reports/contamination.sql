-- For each arm, how many of the samples that a run selects overlap a benchmark item (the mean over its seeds), and
-- which items these are. Pools that were not compared are left out. A sample is known by its content, so a sample of a part of a pool is found in the whole pool.
WITH runs AS (
    SELECT board.model, board.pool, keys.method, keys.budget, board.experiment
    FROM reports.leaderboard AS board
    JOIN experiments.keys AS keys USING (experiment)
    WHERE board.measure = 'average' AND board.pool IN (SELECT pool FROM pools.compared_items)
),
budgets AS (SELECT DISTINCT budget FROM runs WHERE method NOT IN ('base', 'all_data')),
in_cells AS (
    SELECT model, pool, budgets.budget, method, experiment
    FROM runs
    JOIN budgets ON runs.budget = budgets.budget OR method IN ('base', 'all_data')
),
held AS (SELECT DISTINCT sample_id, item_id FROM pools.contamination),
of_runs AS (
    SELECT model, pool, budget, method, experiment, count(DISTINCT held.sample_id) AS samples,
        coalesce(list(DISTINCT item_id ORDER BY item_id) FILTER (item_id IS NOT NULL), []) AS items
    FROM in_cells
    LEFT JOIN selections.samples USING (experiment)
    LEFT JOIN held USING (sample_id)
    GROUP BY ALL
)
SELECT model, pool, budget, method, avg(samples) AS samples, list_sort(list_distinct(flatten(list(items)))) AS items
FROM of_runs
GROUP BY ALL
ORDER BY ALL
