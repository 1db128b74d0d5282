-- The ids that an experiment has, in rank order.
SELECT sample_id
FROM selections.samples
WHERE experiment = $experiment
ORDER BY "position", sample_id
