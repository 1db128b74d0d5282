-- The results of an experiment's model: its headline metrics, with the held-out losses last.
SELECT benchmark, metric, "value", stderr, items, higher_is_better
FROM benchmarks.results
WHERE experiment = $experiment AND "primary"
ORDER BY starts_with(benchmark, 'held_out_loss/'), benchmark
