-- For each of the $experiments: how many of its samples were not selected at the snapshot $snapshot, and how many it has.
WITH before AS (
    SELECT experiment, sample_id
    FROM selections.samples AT (VERSION => $snapshot)
    WHERE experiment = ANY($experiments::VARCHAR[])
)
SELECT now.experiment, count(*) FILTER (before.sample_id IS NULL) AS other, count(*) AS size
FROM selections.samples AS now
LEFT JOIN before USING (experiment, sample_id)
WHERE now.experiment = ANY($experiments::VARCHAR[])
GROUP BY now.experiment
