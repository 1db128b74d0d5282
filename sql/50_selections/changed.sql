-- How many of an experiment's samples were not in its selection at the snapshot $snapshot, and how many it has.
WITH before AS (SELECT sample_id FROM selections.samples AT (VERSION => $snapshot) WHERE experiment = $experiment)
SELECT count(*) FILTER (before.sample_id IS NULL) AS other, count(*) AS size
FROM selections.samples AS now
LEFT JOIN before USING (sample_id)
WHERE now.experiment = $experiment
