SELECT COLUMNS(name -> name NOT IN ('embedding', 'prompt_embedding')) FROM read_parquet($files)
