-- The cost of each experiment, summed along its lineage. An experiment that was trained elsewhere has no row for training.
CREATE TABLE reports.experiment_costs (
    experiment VARCHAR,
    part VARCHAR, -- selecting (the cost of shared features is split among the methods that use them), selecting alone
    -- (it is not split), training, evaluating
    cpu_seconds DOUBLE,
    gpu_seconds DOUBLE,
    forward_flops DOUBLE,
    backward_flops DOUBLE
);
