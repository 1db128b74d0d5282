-- Which samples do all methods agree on?
-- The samples that most methods select, with any seed and budget. Random draws and variants do not count. Read a
-- sample with `selection-platform explain`.
-- Ask: selection-platform sql @agreement --set pool=instruct-mix
WITH choices AS (
    SELECT DISTINCT keys.method, selected.sample_id
    FROM experiments.keys AS keys
    JOIN selections.samples AS selected USING (experiment)
    WHERE
        keys.pool = $pool
        AND keys.pool_size IS NULL
        AND keys.method NOT IN ('all_data', 'random')
        AND NOT contains(keys.method, '.')
)
SELECT
    sample_id,
    samples.source,
    count(*) AS methods,
    (SELECT count(DISTINCT method) FROM choices) AS of_methods,
    string_agg(method, ', ' ORDER BY method) AS chosen_by
FROM choices
JOIN pools.samples AS samples USING (sample_id)
WHERE samples.pool = $pool
GROUP BY ALL
ORDER BY methods DESC, sample_id
LIMIT 10
