SELECT snapshot_id FROM ducklake_snapshots('warehouse') ORDER BY snapshot_id
