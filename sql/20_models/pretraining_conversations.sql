-- Every conversation that a pool set aside for base models, unless a pool holds it out to measure the loss on.
SELECT DISTINCT ON (sample_id) sample_id, messages
FROM pools.held_out
WHERE split = 'base_model' AND sample_id NOT IN (SELECT sample_id FROM pools.held_out WHERE split = 'held_out')
ORDER BY sample_id
