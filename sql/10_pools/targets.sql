-- The samples of a target set, out of the file that the library wrote.
SELECT
    target,
    sample_id,
    messages,
    sample_id IN (SELECT sample_id FROM pools.samples WHERE pool = $pool) AS in_pool
FROM read_parquet($file)
