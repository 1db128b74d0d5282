-- How many of an experiment's samples were not in its selection at the snapshot $snapshot, and how many it has.
SELECT count(*) FILTER (before.sample_id IS NULL) AS other, count(*) AS size
FROM selections.samples AS now
LEFT JOIN selections.samples AT (VERSION => $snapshot) AS before USING (experiment, sample_id)
WHERE now.experiment = $experiment
