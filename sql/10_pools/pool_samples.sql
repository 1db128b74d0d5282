SELECT sample_id, source, licence, messages, turns, characters, untrained
FROM read_parquet($files)
WHERE split = 'pool'
