-- A sample in each pool that has it. split: samples where it can be selected, else that of pools.held_out.
SELECT pool, 'samples' AS split, source, licence, turns, characters, messages
FROM pools.samples
WHERE sample_id = $sample_id
UNION ALL
SELECT pool, split, source, licence, turns, characters, messages
FROM pools.held_out
WHERE sample_id = $sample_id
ORDER BY pool, split
