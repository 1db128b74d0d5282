-- A uniform draw from the pool, by the hash of sample and seed, in the order of ids: the samples of LESS's warm-up, or its
-- targets, as one group.
SELECT row_number() OVER (ORDER BY sample_id)::INTEGER AS position, sample_id, messages, 'pool' AS target
FROM (
    SELECT sample_id, messages
    FROM pools.samples
    WHERE pool = $pool
    ORDER BY md5(sample_id || '/' || $seed), sample_id
    LIMIT $limit
)
ORDER BY position
