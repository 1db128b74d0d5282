-- A uniform number in [0, 1) from the hash of sample and seed, so that other samples do not change the draw.
SELECT seed, sample_id, md5_number_lower(sample_id || '/' || seed)::DOUBLE / 18446744073709551616.0 AS score
FROM pools.samples, unnest($seeds::INTEGER[]) AS seeds(seed)
WHERE pool = $pool
