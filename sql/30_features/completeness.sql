-- Whether each sample of the pool has $rows_each rows in a partition of a feature table, and no other sample has any.
WITH partition_rows AS (
    SELECT COLUMNS(
        name -> name IN ('pool', 'model', 'reader', 'direction', 'targets', 'sample_id', 'truncated', 'prompt_cut')
    )
    FROM query_table($table)
    -- Not every table has these columns.
    UNION ALL BY NAME
    SELECT
        NULL::VARCHAR AS reader,
        NULL::VARCHAR AS direction,
        NULL::VARCHAR AS targets,
        NULL::BOOLEAN AS truncated,
        NULL::INTEGER AS prompt_cut
    WHERE false
),
counted AS (
    SELECT sample_id, count(*) AS rows, bool_or(truncated) AS truncated, bool_or(prompt_cut > 0) AS prompt_is_cut
    FROM partition_rows
    WHERE
        pool = $pool
        AND model = $model
        AND reader IS NOT DISTINCT FROM $reader
        AND direction IS NOT DISTINCT FROM $direction
        AND targets IS NOT DISTINCT FROM $targets
    GROUP BY sample_id
)
SELECT
    count(samples.sample_id) AS "samples of the pool",
    count(samples.sample_id) FILTER (counted.rows IS DISTINCT FROM $rows_each) AS "incomplete samples",
    count(*) FILTER (samples.sample_id IS NULL) AS "samples that are not in the pool",
    count(*) FILTER (counted.prompt_is_cut) AS "cut prompts",
    count(*) FILTER (counted.truncated) AS "cut answers"
FROM counted
FULL JOIN (SELECT sample_id FROM pools.samples WHERE pool = $pool) AS samples
    ON counted.sample_id = samples.sample_id
