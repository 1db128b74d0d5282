-- What each experiment cost, summed along its lineage. One that was trained elsewhere has no row of its training.
CREATE TABLE reports.experiment_costs (
    experiment VARCHAR,
    part VARCHAR, -- selecting (features that several methods use are split among these), selecting alone (they are not),
    -- training, evaluating
    cpu_seconds DOUBLE,
    gpu_seconds DOUBLE,
    forward_flops DOUBLE,
    backward_flops DOUBLE
);
