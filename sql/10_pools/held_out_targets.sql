-- The first message of each target on which the held-out loss is measured, in order of their ids.
SELECT messages[1].content AS prompt
FROM pools.held_out
WHERE pool = $pool AND split = 'held_out' AND list_contains($targets, sample_id)
ORDER BY sample_id
