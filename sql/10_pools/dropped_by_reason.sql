-- Why rows of a pool's source are in none of its splits.
SELECT reason, samples
FROM pools.dropped
WHERE pool = $pool
ORDER BY samples DESC, reason
