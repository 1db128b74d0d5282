SELECT id FROM warehouse.current_snapshot()
