-- The conversations of another statement, which stands in the place of `conversations`, in its order; beside each the
-- places of its answers that are not trained on. An id stands for both, so any row of that id will do.
WITH masks AS (
    SELECT sample_id, any_value(untrained) AS untrained
    FROM (
        SELECT sample_id, untrained
        FROM pools.samples
        UNION ALL
        SELECT sample_id, untrained
        FROM pools.held_out
    )
    WHERE untrained IS NOT NULL
    GROUP BY sample_id
),
placed AS (
    SELECT *, row_number() OVER () AS place
    FROM (FROM conversations)
)
SELECT placed.* EXCLUDE (place), masks.untrained
FROM placed
LEFT JOIN masks USING (sample_id)
ORDER BY place
