-- A sample in each pool that has it. split: `samples` if it can be selected, else the split in pools.held_out. By name,
-- because a home of an earlier version has no column `untrained` until the first write.
SELECT pool, 'samples' AS split, * EXCLUDE (pool, sample_id)
FROM pools.samples
WHERE sample_id = $sample_id
UNION ALL BY NAME
SELECT pool, split, * EXCLUDE (pool, split, sample_id)
FROM pools.held_out
WHERE sample_id = $sample_id
ORDER BY pool, split
