-- How many samples of each pool can be selected.
SELECT pool, count(*) AS samples
FROM pools.samples
GROUP BY pool
