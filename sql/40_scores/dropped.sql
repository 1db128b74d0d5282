-- Why samples of a partition have no score.
SELECT dropped, count(*) AS samples
FROM query_table($table)
WHERE pool = $pool AND model IS NOT DISTINCT FROM $model AND score IS NULL
GROUP BY dropped
