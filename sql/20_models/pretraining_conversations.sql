-- Every conversation that a pool set aside for base models, in an order of its own: ids are hashes.
SELECT DISTINCT ON (sample_id) sample_id, messages
FROM pools.held_out
WHERE split = 'base_model'
ORDER BY sample_id
