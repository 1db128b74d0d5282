-- The parts that rows of each pool lost, the most frequent first.
SELECT pool, part, samples
FROM pools.trimmed
ORDER BY pool, samples DESC, part
