-- The samples of a target set, by group.
SELECT row_number() OVER (ORDER BY target, sample_id)::INTEGER AS position, sample_id, messages, target
FROM pools.targets
WHERE pool = $pool AND targets = $targets
ORDER BY position
