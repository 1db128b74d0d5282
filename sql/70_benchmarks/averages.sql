-- Each experiment's average over its benchmarks, as on the leaderboard.
SELECT experiment, avg("value") AS average
FROM benchmarks.results
WHERE "primary" AND NOT starts_with(benchmark, 'held_out_loss/')
GROUP BY experiment
