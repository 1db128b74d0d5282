-- The influences in an influence job's shards, by one of Adam's directions. Whoever writes them names it again.
SELECT * EXCLUDE (direction)
FROM read_parquet($files)
WHERE direction = $of_direction
