-- The samples that come from row $row of these files.
SELECT pool, file, sample_id
FROM (
    SELECT pool, file, file_row, sample_id FROM pools.samples
    UNION ALL
    SELECT pool, file, file_row, sample_id FROM pools.held_out
)
WHERE file_row = $row AND list_contains($files, file)
ORDER BY pool, file, sample_id
