-- The selected conversations in rank order.
SELECT selected.position, samples.sample_id, samples.source, samples.licence, samples.messages
FROM selections.samples AS selected
JOIN pools.samples AS samples USING (sample_id)
WHERE selected.experiment = $experiment AND samples.pool = $pool
ORDER BY selected.position
