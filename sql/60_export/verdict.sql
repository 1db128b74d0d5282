-- How an arm compares with random selection, over all its seeds.
SELECT measure, verdict, difference, low, high, arm_runs, random_runs
FROM reports.verdict
WHERE model = $model AND pool = $pool AND budget = $budget AND method = $method
ORDER BY measure <> 'average', measure
