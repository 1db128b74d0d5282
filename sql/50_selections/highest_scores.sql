-- Ties are broken by sample id.
SELECT row_number() OVER (ORDER BY score DESC, sample_id)::INTEGER AS position, sample_id, score
FROM query_table($table)
WHERE pool = $pool AND model IS NOT DISTINCT FROM $model AND seed IS NOT DISTINCT FROM $seed AND score IS NOT NULL
ORDER BY position
LIMIT $budget
