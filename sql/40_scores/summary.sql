-- The distribution of a partition's scores.
SELECT
    count(*) AS rows,
    count(score) AS scored,
    count(*) FILTER (NOT isfinite(score)) AS not_finite,
    min(score) AS lowest,
    median(score) AS median,
    max(score) AS highest
FROM query_table($table)
WHERE pool = $pool AND model IS NOT DISTINCT FROM $model
