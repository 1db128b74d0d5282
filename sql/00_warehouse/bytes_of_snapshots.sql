-- Size of the files in the snapshots $snapshots. Each file counts once. `metadata` is replaced by the catalog's schema.
WITH files AS (
    SELECT begin_snapshot, end_snapshot, file_size_bytes FROM metadata.ducklake_data_file
    UNION ALL
    SELECT begin_snapshot, end_snapshot, file_size_bytes FROM metadata.ducklake_delete_file
)
SELECT coalesce(sum(file_size_bytes), 0)::BIGINT
FROM files
WHERE len(list_filter(
    $snapshots::BIGINT[],
    lambda snapshot: snapshot >= begin_snapshot AND (end_snapshot IS NULL OR snapshot < end_snapshot)
)) > 0
