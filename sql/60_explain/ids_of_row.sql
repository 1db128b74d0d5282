-- The samples that come from row $row of the files whose path is $file or ends with it.
SELECT pool, file, sample_id
FROM (SELECT pool, file, file_row, sample_id FROM pools.samples UNION ALL SELECT pool, file, file_row, sample_id FROM pools.held_out)
WHERE file_row = $row AND (file = $file OR ends_with(file, '/' || $file))
ORDER BY pool, file, sample_id
