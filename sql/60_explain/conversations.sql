-- A sample in each pool that has it. split: samples where it can be selected, else that of pools.held_out. By name: homes
-- of an earlier version have no column untrained before the first write.
SELECT pool, 'samples' AS split, * EXCLUDE (pool, sample_id)
FROM pools.samples
WHERE sample_id = $sample_id
UNION ALL BY NAME
SELECT pool, split, * EXCLUDE (pool, split, sample_id)
FROM pools.held_out
WHERE sample_id = $sample_id
ORDER BY pool, split
