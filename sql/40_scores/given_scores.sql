-- Scores that the user gives, as the library read them: a row for each sample of the pool.
SELECT sample_id, score, dropped FROM read_parquet($file)
