-- What every materialisation cost.
CREATE TABLE reports.cost_ledger (
    asset VARCHAR,
    "partition" VARCHAR, -- NULL where the asset has none
    run_id VARCHAR, -- of Dagster
    made_at TIMESTAMP, -- UTC
    data_version VARCHAR, -- identity of what was made
    wall_seconds DOUBLE,
    cpu_seconds DOUBLE, -- over all cores, child processes included
    gpu_seconds DOUBLE, -- by the clock, of a step that held a GPU
    peak_memory_bytes BIGINT, -- resident memory
    bytes_written BIGINT, -- NULL where the system does not count it
    tokens BIGINT, -- given to models, padding included
    forward_flops DOUBLE, -- by the models' shapes
    backward_flops DOUBLE
);
