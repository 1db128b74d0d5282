-- How many samples of a pool hold an item of each benchmark.
SELECT benchmark, count(DISTINCT sample_id) AS samples
FROM pools.contamination
WHERE pool = $pool
GROUP BY benchmark
ORDER BY benchmark
