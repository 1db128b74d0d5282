-- A uniform number in [0, 1) from the hash of sample and seed: the draw does not change when other samples come or go.
SELECT seed, sample_id, md5_number_lower(sample_id || '/' || seed)::DOUBLE / 18446744073709551616.0 AS score
FROM pools.samples, unnest($seeds::INTEGER[]) AS seeds(seed)
WHERE pool = $pool
