-- The distinct samples of a target set, in the order in which they take turns.
SELECT sample_id, any_value(messages) AS messages
FROM pools.targets
WHERE pool = $pool AND targets = $targets
GROUP BY sample_id
ORDER BY sample_id
