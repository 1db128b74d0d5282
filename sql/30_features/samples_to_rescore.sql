-- A fair part of the pool, as sample ids are hashes: one in $part, rounded up, and at most $most.
SELECT sample_id, messages
FROM pools.samples
WHERE pool = $pool
QUALIFY row_number() OVER (ORDER BY sample_id) <= least($most, ceil(count(*) OVER () / $part))
ORDER BY sample_id
