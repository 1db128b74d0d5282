-- The experiments that train on a sample, and its place in each.
SELECT
    experiment,
    keys.method,
    keys.model,
    keys.budget,
    keys.seed,
    selected."position",
    (SELECT count(*) FROM selections.samples AS every WHERE every.experiment = selected.experiment) AS size
FROM selections.samples AS selected
JOIN experiments.keys AS keys USING (experiment)
WHERE selected.sample_id = $sample_id
ORDER BY experiment
