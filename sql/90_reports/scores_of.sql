-- One method's scores of a pool's samples; the highest are picked first. $seed and $budget: NULL where the scores do not
-- depend on them.
SELECT sample_id, score
FROM query_table($table)
WHERE
    pool = $pool
    AND model = $model
    AND seed IS NOT DISTINCT FROM $seed
    AND budget IS NOT DISTINCT FROM $budget
