-- If rows do not name their source, the pool's name is used.
SELECT sample_id, messages, coalesce(source, pool) AS source
FROM pools.samples
WHERE pool = $pool
ORDER BY sample_id
