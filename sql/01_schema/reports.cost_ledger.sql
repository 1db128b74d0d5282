-- The cost of every materialisation.
CREATE TABLE reports.cost_ledger (
    asset VARCHAR,
    "partition" VARCHAR, -- NULL if the asset has no partitions
    run_id VARCHAR, -- Dagster's run
    made_at TIMESTAMP, -- UTC
    data_version VARCHAR, -- identity of the content
    wall_seconds DOUBLE,
    cpu_seconds DOUBLE, -- over all cores, with child processes
    gpu_seconds DOUBLE, -- wall time of the step's jobs on GPUs, times their processes
    peak_memory_bytes BIGINT, -- resident memory
    bytes_written BIGINT, -- NULL if the system does not count it
    tokens BIGINT, -- tokens given to models, with padding
    forward_flops DOUBLE, -- computed from the models' shapes
    backward_flops DOUBLE
);
