-- The tasks of a benchmark that each of its items is of.
SELECT benchmark, item_id, string_agg(DISTINCT task, ', ' ORDER BY task) AS tasks
FROM benchmarks.items
WHERE NOT starts_with(benchmark, 'held_out_loss/')
GROUP BY ALL
ORDER BY ALL
