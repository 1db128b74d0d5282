-- For each source: how many samples only one of two experiments selects, how many both select, and how many the pool has.
WITH selected AS (
    SELECT sample_id, bool_or(experiment = $one) AS by_one, bool_or(experiment = $other) AS by_other
    FROM selections.samples
    WHERE experiment IN ($one, $other)
    GROUP BY sample_id
)
SELECT
    samples.source,
    count(*) FILTER (by_one AND NOT by_other) AS only_one,
    count(*) FILTER (by_other AND NOT by_one) AS only_other,
    count(*) FILTER (by_one AND by_other) AS "both",
    count(*) AS pool
FROM pools.samples AS samples
LEFT JOIN selected USING (sample_id)
WHERE samples.pool = $pool
GROUP BY samples.source
ORDER BY pool DESC, samples.source
