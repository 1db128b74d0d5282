-- One row per metric, benchmark and experiment.
CREATE TABLE benchmarks.results (
    experiment VARCHAR,
    benchmark VARCHAR, -- held_out_loss/<pool> for the held-out loss
    metric VARCHAR,
    "value" DOUBLE, -- 0 to 1; bits per byte for the held-out loss
    stderr DOUBLE,
    items INTEGER,
    "primary" BOOLEAN, -- the benchmark's headline metric
    higher_is_better BOOLEAN
);
ALTER TABLE benchmarks.results SET PARTITIONED BY (experiment);
