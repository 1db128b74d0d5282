-- What did IFD's scores change since an old snapshot?
-- For another method, change the table in both places. `selection-platform lineage EXPERIMENT` names the snapshot that
-- a selection was made from.
-- Ask: selection-platform sql @changed_scores --set snapshot=100
WITH both_times AS (
    SELECT pool, model, seed, budget, sample_id, score AS now, NULL AS before
    FROM scores.ifd
    UNION ALL
    SELECT pool, model, seed, budget, sample_id, NULL, score
    FROM scores.ifd AT (VERSION => $snapshot::BIGINT)
),
paired AS (
    SELECT pool, model, seed, budget, sample_id, max(now) AS now, max(before) AS before
    FROM both_times
    GROUP BY pool, model, seed, budget, sample_id
)
SELECT
    pool,
    model,
    count(*) AS samples,
    count(*) FILTER (now IS NOT DISTINCT FROM before) AS same,
    count(*) FILTER (now != before) AS changed,
    count(*) FILTER (now IS NOT NULL AND before IS NULL) AS "new",
    count(*) FILTER (now IS NULL AND before IS NOT NULL) AS gone,
    max(abs(now - before)) AS largest_change
FROM paired
GROUP BY pool, model
ORDER BY pool, model
