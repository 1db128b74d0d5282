-- Forget the snapshots $versions. Files that no other snapshot uses are scheduled for deletion.
CALL ducklake_expire_snapshots('warehouse', versions => $versions)
