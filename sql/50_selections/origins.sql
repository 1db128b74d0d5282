-- The places of the selected conversations in the pool's source.
SELECT samples.sample_id, samples.file, samples.file_row
FROM selections.samples AS selected
JOIN pools.samples AS samples USING (sample_id)
WHERE selected.experiment = $experiment AND samples.pool = $pool
