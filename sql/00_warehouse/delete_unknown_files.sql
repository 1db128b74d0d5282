-- Files that are in no snapshot, because a write was killed. Run it only while nobody writes.
CALL ducklake_delete_orphaned_files('warehouse', cleanup_all => true)
