-- The sources and licences of the rows that an experiment selected.
SELECT samples.source, samples.licence, count(*) AS "rows"
FROM selections.samples AS selected
JOIN pools.samples AS samples USING (sample_id)
WHERE selected.experiment = $experiment AND samples.pool = $pool
GROUP BY ALL
ORDER BY "rows" DESC, samples.source, samples.licence
