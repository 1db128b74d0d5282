-- Forget the snapshots $versions. Files that no other snapshot has are noted, to be deleted.
CALL ducklake_expire_snapshots('warehouse', versions => $versions)
