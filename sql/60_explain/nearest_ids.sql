-- The ids whose beginning differs from $prefix in the fewest characters.
SELECT sample_id
FROM (SELECT sample_id FROM pools.samples UNION SELECT sample_id FROM pools.held_out)
ORDER BY levenshtein(left(sample_id, length($prefix)), $prefix), sample_id
LIMIT $most
