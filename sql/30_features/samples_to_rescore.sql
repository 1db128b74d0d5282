-- A fair part of the pool, as sample ids are hashes.
SELECT sample_id, messages
FROM pools.samples
WHERE pool = $pool
ORDER BY sample_id
LIMIT $samples
