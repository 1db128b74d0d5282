SELECT split, sample_id, source, licence, messages, turns, characters, untrained, file, file_row
FROM read_parquet($files)
WHERE split != 'pool'
