-- The conversations of another statement, which replaces `conversations`, in its order, each with the positions of its
-- answers that are not trained on. An id covers both, so any row with that id will do.
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
