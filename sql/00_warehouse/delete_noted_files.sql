CALL ducklake_cleanup_old_files('warehouse', cleanup_all => true)
