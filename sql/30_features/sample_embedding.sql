SELECT sample_id, embedding FROM read_parquet($files)
