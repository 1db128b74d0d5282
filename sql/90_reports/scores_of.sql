-- One method's scores of a pool's samples by a model; the highest are picked first.
SELECT sample_id, score
FROM query_table($table)
WHERE pool = $pool AND model = $model
