-- When the existing ones of the snapshots $snapshots, and the newest snapshot, were written; in microseconds since 1970.
SELECT snapshot_id, epoch_us(snapshot_time) AS written
FROM ducklake_snapshots('warehouse')
WHERE list_contains($snapshots::BIGINT[], snapshot_id) OR snapshot_id = (SELECT id FROM warehouse.current_snapshot())
