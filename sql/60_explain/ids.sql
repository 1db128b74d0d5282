-- The ids that begin with $prefix, with an exact match first.
SELECT sample_id
FROM (SELECT sample_id FROM pools.samples UNION SELECT sample_id FROM pools.held_out)
WHERE starts_with(sample_id, $prefix)
ORDER BY sample_id != $prefix, sample_id
LIMIT $most
