-- A uniform draw of the pool, by the hash of sample and seed, in the order of ids: what LESS is warmed up on, or, as one
-- group of targets, what it selects for.
SELECT row_number() OVER (ORDER BY sample_id)::INTEGER AS position, sample_id, messages, 'pool' AS target
FROM (
    SELECT sample_id, messages
    FROM pools.samples
    WHERE pool = $pool
    ORDER BY md5(sample_id || '/' || $seed), sample_id
    LIMIT $limit
)
ORDER BY position
