-- The conversations with the smallest hashes, up to the profile's limit.
SELECT sample_id, messages
FROM pools.held_out
WHERE pool = $pool AND split = 'held_out'
ORDER BY sample_id
LIMIT coalesce($limit, 9223372036854775807)
