-- The files of pools whose path is $file or ends with it.
SELECT DISTINCT file
FROM (SELECT file FROM pools.samples UNION ALL SELECT file FROM pools.held_out)
WHERE file = $file OR ends_with(file, '/' || $file)
ORDER BY file
