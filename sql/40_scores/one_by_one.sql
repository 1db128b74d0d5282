-- Minus the position in the order of picking, where samples are picked one by one.
SELECT
    samples.sample_id,
    -picks.position::DOUBLE AS score,
    CASE WHEN picks.position IS NULL THEN 'not among the picks up to the largest budget' END AS dropped
FROM pools.samples
LEFT JOIN read_parquet($picks) AS picks USING (sample_id)
WHERE samples.pool = $pool
