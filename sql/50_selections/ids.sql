-- The ids in an experiment's selection, in rank order.
SELECT sample_id
FROM selections.samples
WHERE experiment = $experiment
ORDER BY "position", sample_id
