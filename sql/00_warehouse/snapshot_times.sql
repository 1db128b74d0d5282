-- When the snapshots $snapshots were written, as far as they are there, and the newest; in microseconds since 1970.
SELECT snapshot_id, epoch_us(snapshot_time) AS written
FROM ducklake_snapshots('warehouse')
WHERE list_contains($snapshots::BIGINT[], snapshot_id) OR snapshot_id = (SELECT id FROM warehouse.current_snapshot())
