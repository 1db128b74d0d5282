-- What an experiment's selection must not be: all zero and NULL in a sound one.
SELECT
    count(*) - count(DISTINCT selected.sample_id) AS repeated,
    count(*) FILTER (samples.sample_id IS NULL) AS not_in_pool,
    count(*) - coalesce(max(selected.position), 0) AS out_of_order,
    count(*) AS selected
FROM selections.samples AS selected
LEFT JOIN (SELECT sample_id FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
WHERE selected.experiment = $experiment
