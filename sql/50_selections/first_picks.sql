-- The conversations that an experiment picks first, for a look at what it chose.
SELECT
    selected."position",
    selected.score,
    samples.sample_id,
    [message.content FOR message IN samples.messages IF message.role = 'user'][1] AS question,
    samples.messages[-1].content AS last_answer
FROM selections.samples AS selected
JOIN pools.samples AS samples USING (sample_id)
WHERE selected.experiment = $experiment AND samples.pool = $pool
ORDER BY selected."position", samples.sample_id
LIMIT $count
