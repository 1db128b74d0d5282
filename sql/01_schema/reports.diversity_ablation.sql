-- What it changes to pick a method's best of each k-means cluster instead of its best.
CREATE TABLE reports.diversity_ablation (
    measure VARCHAR, -- average (of the benchmarks), a benchmark, or held_out_loss
    model VARCHAR,
    pool VARCHAR,
    budget INTEGER,
    method VARCHAR,
    runs INTEGER, -- of the method
    clustered_runs INTEGER, -- of its best of each cluster
    "value" DOUBLE, -- mean of the method's runs, in the measure's unit
    clustered_value DOUBLE,
    gain DOUBLE -- by the clusters; above 0 is better, on every measure
);
