-- The influences in an influence job's shards for one of Adam's directions. The writer adds the column `direction`.
SELECT * EXCLUDE (direction)
FROM read_parquet($files)
WHERE direction = $of_direction
