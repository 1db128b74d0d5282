SELECT benchmark, metric, "value" FROM benchmarks.results WHERE experiment = $experiment ORDER BY benchmark, metric
