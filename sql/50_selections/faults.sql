-- What is wrong with an experiment's selection, besides its size. In a valid one, all counts are zero.
WITH selected AS (
    SELECT
        "position",
        sample_id,
        score,
        lag(score) OVER by_position AS previous_score,
        lag(sample_id) OVER by_position AS previous_id
    FROM selections.samples
    WHERE experiment = $experiment
    WINDOW by_position AS (ORDER BY "position")
)
SELECT
    count(*) - count(DISTINCT selected.sample_id) AS "repeated ids",
    count(*) FILTER (samples.sample_id IS NULL) AS "ids that are not in the pool",
    coalesce(max(selected."position"), 0) - count(DISTINCT selected."position") AS "missing positions",
    count(*) - count(DISTINCT selected."position") AS "repeated positions",
    -- Best first, ties by id; rows without scores only by id.
    count(*) FILTER (
        selected.score > selected.previous_score
        OR (selected.score IS NOT DISTINCT FROM selected.previous_score AND selected.sample_id <= selected.previous_id)
    ) AS "rows out of order"
FROM selected
LEFT JOIN (SELECT sample_id FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
