-- What each experiment picks first, $most samples of each. The text of a row stands here only where a licence is stated for it.
WITH picked AS (
    SELECT selected.experiment, keys.method, keys.model, keys.pool, keys.budget, keys.seed, selected."position",
        sample_id, samples.source, nullif(trim(samples.licence), '') AS licence, samples.messages
    FROM selections.samples AS selected
    JOIN experiments.keys AS keys USING (experiment)
    JOIN pools.samples AS samples USING (pool, sample_id)
    WHERE list_contains($experiments, selected.experiment) AND selected."position" <= $most
)
SELECT * REPLACE (CASE WHEN licence IS NOT NULL THEN messages END AS messages)
FROM picked
ORDER BY list_position($experiments, experiment), "position", sample_id
