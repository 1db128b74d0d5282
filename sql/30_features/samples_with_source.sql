-- Where no row names its source, the pool's name stands for it.
SELECT sample_id, messages, coalesce(source, pool) AS source
FROM pools.samples
WHERE pool = $pool
ORDER BY sample_id
