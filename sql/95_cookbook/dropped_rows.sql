-- How many rows of the source were dropped, and why?
-- Why one row was dropped: `selection-platform explain FILE:ROW`.
-- Percentages are of all rows of the source. Samples can be selected; held-out rows and rows for base models cannot.
-- Ask: selection-platform sql @dropped_rows --set pool=instruct-mix
WITH counted AS (
    SELECT 'sample of the pool' AS row_is, count(*) AS "rows"
    FROM pools.samples
    WHERE pool = $pool
    UNION ALL
    SELECT 'split: ' || split, count(*)
    FROM pools.held_out
    WHERE pool = $pool
    GROUP BY split
    UNION ALL
    SELECT 'dropped: ' || reason, samples
    FROM pools.dropped
    WHERE pool = $pool
)
SELECT row_is, "rows", round(100 * "rows" / sum("rows") OVER (), 2) AS percent
FROM counted
ORDER BY "rows" DESC, row_is
