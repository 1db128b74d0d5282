-- Characters of the conversations that a pool's held-out loss is measured on.
SELECT characters
FROM pools.held_out
WHERE pool = $pool AND split = 'held_out'
ORDER BY sample_id
