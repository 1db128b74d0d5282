-- The sizes of a partition's clusters.
WITH sizes AS (
    SELECT cluster, count(*) AS samples
    FROM query_table($table)
    WHERE pool = $pool AND model = $model
    GROUP BY cluster
)
SELECT count(*) AS clusters, min(samples) AS smallest, median(samples) AS median, max(samples) AS largest
FROM sizes
