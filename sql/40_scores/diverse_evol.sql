-- Minus the position in the order of picking, for each budget. $folder has `<budget>/picks.parquet`.
SELECT
    budgets.budget,
    samples.sample_id,
    -picks.position::DOUBLE AS score,
    CASE WHEN picks.position IS NULL THEN 'not picked within the budget' END AS dropped
FROM pools.samples
CROSS JOIN (SELECT unnest($budgets::INTEGER[]) AS budget) AS budgets
LEFT JOIN read_parquet($picks, filename = true) AS picks
    ON picks.sample_id = samples.sample_id AND picks.filename = $folder || '/' || budgets.budget || '/picks.parquet'
WHERE samples.pool = $pool
