-- A fair part of the pool, as sample ids are hashes: one in $part, but $least at least and $most at most. Never more than
-- half: a pool that fits one batch would make the same batch again.
SELECT sample_id, messages
FROM pools.samples
WHERE pool = $pool
QUALIFY
    row_number() OVER (ORDER BY sample_id)
    <= least($most, ceil(count(*) OVER () / 2), greatest($least, ceil(count(*) OVER () / $part)))
ORDER BY sample_id
