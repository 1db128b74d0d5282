-- The ids of a pool's samples.
SELECT sample_id
FROM pools.samples
WHERE pool = $pool
