-- The effect of picking a method's best in each k-means cluster instead of its best overall.
CREATE TABLE reports.diversity_ablation (
    measure VARCHAR, -- average (of the benchmarks), a benchmark, or held_out_loss
    model VARCHAR,
    pool VARCHAR,
    budget INTEGER,
    method VARCHAR,
    runs INTEGER, -- runs of the method
    clustered_runs INTEGER, -- runs of its k-means wrapper
    "value" DOUBLE, -- mean of the method's runs, in the measure's unit
    clustered_value DOUBLE,
    gain DOUBLE -- gain from clusters; above 0 is better, on every measure
);
