-- From snapshot $snapshot on, do not read the data file whose name is in the text $message. `metadata` is replaced
-- by the catalog's schema. Gives one row a file.
UPDATE metadata.ducklake_data_file
SET end_snapshot = $snapshot
WHERE end_snapshot IS NULL AND contains($message, regexp_extract(path, '[^/]+$'))
