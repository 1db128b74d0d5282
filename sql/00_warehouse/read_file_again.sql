-- Take back what pass_over_file did with the same values: have the file read again. Gives one row a file.
UPDATE metadata.ducklake_data_file
SET end_snapshot = NULL
WHERE end_snapshot = $snapshot AND contains($message, regexp_extract(path, '[^/]+$'))
