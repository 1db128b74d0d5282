-- The samples of a pool with the lowest ids. Ids are hashes, so this is a random part, and smaller parts are nested in larger ones.
SELECT sample_id, source, licence, messages, turns, characters, untrained, file, file_row
FROM pools.samples
WHERE pool = $whole_pool
ORDER BY sample_id
LIMIT $size
