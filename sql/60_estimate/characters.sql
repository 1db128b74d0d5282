-- Characters of a pool's samples, and of their last messages, in the order of ids.
SELECT characters, length(messages[-1].content) AS answer_characters
FROM pools.samples
WHERE pool = $pool
ORDER BY sample_id
