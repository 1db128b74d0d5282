-- The highest scores; ties are broken by sample id. The lowest selected score is found in a separate step first, because
-- sorting all rows with their ids takes several times as long.
WITH scored AS (
    SELECT sample_id, score
    FROM query_table($table)
    WHERE
        pool = $pool
        AND model IS NOT DISTINCT FROM $model
        AND seed IS NOT DISTINCT FROM $seed
        AND budget IS NOT DISTINCT FROM $scores_budget
        AND score IS NOT NULL
        -- $sub_pool, which has a pool's lowest ids, uses the whole pool's scores. NULL: the whole pool.
        AND coalesce(sample_id <= (SELECT max(sample_id) FROM pools.samples WHERE pool = $sub_pool), true)
),
best AS (
    SELECT sample_id, score
    FROM scored
    WHERE score >= (SELECT min(score) FROM (SELECT score FROM scored ORDER BY score DESC LIMIT $budget))
)
SELECT row_number() OVER (ORDER BY score DESC, sample_id)::INTEGER AS position, sample_id, score
FROM best
ORDER BY position
LIMIT $budget
