-- A uniform draw of the pool, by the hash of sample and seed: one group of targets.
SELECT sample_id, messages, 'pool' AS target
FROM (
    SELECT sample_id, messages
    FROM pools.samples
    WHERE pool = $pool
    ORDER BY md5(sample_id || '/' || $seed), sample_id
    LIMIT $limit
)
ORDER BY sample_id
