SELECT split, sample_id, source, licence, messages, turns, characters
FROM read_parquet($files)
WHERE split != 'pool'
