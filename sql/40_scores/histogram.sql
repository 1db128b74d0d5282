-- Bins of equal width between the lowest and the highest score.
WITH partition_scores AS (
    SELECT score FROM query_table($table) WHERE pool = $pool AND model IS NOT DISTINCT FROM $model AND score IS NOT NULL
),
bounds AS (SELECT min(score) AS lowest, max(score) AS highest FROM partition_scores)
SELECT
    CASE
        WHEN highest > lowest THEN least($bins - 1, floor($bins * (score - lowest) / (highest - lowest))) ELSE 0
    END::INTEGER AS bin,
    count(*) AS samples
FROM partition_scores, bounds
GROUP BY bin
ORDER BY bin
