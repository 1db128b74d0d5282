-- Which row of the source each sample of the pool comes from.
SELECT sample_id, file, file_row
FROM pools.samples
WHERE pool = $pool
ORDER BY sample_id
