-- Files that no snapshot ever had: of writes that were killed. Only while nobody writes.
CALL ducklake_delete_orphaned_files('warehouse', cleanup_all => true)
