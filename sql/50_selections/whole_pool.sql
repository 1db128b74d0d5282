SELECT row_number() OVER (ORDER BY sample_id)::INTEGER AS position, sample_id, NULL::DOUBLE AS score
FROM pools.samples
WHERE pool = $pool
ORDER BY position
