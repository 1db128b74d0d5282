-- How many conversations each pool sets aside for base models.
SELECT pool, count(*) AS samples
FROM pools.held_out
WHERE split = 'base_model'
GROUP BY pool
