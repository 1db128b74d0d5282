-- Which benchmark items does fine-tuning win or lose?
-- The items whose result differs from the base model's, by each benchmark's primary metric.
-- Ask: selection-platform sql @flipped_items --set experiment=selectit/sharegpt-en/demo-3m/32/s0
WITH headline AS (
    SELECT keys.experiment, keys.method, keys.model, items.benchmark, items.task, items.item_id, items.correct
    FROM benchmarks.items AS items
    JOIN benchmarks.results AS results USING (experiment, benchmark, metric)
    JOIN experiments.keys AS keys USING (experiment)
    WHERE results."primary" AND NOT starts_with(benchmark, 'held_out_loss/')
)
SELECT
    tuned.benchmark,
    tuned.task,
    tuned.item_id,
    base.correct AS base,
    tuned.correct AS fine_tuned,
    CASE WHEN tuned.correct > base.correct THEN 'won' ELSE 'lost' END AS outcome
FROM headline AS tuned
JOIN headline AS base USING (model, benchmark, task, item_id)
WHERE tuned.experiment = $experiment AND base.method = 'base' AND tuned.correct != base.correct
ORDER BY tuned.benchmark, tuned.task, tuned.item_id
