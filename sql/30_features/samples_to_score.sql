SELECT sample_id, messages
FROM pools.samples
WHERE pool = $pool
ORDER BY sample_id
