-- One row per item, metric, benchmark and experiment.
CREATE TABLE benchmarks.items (
    experiment VARCHAR,
    benchmark VARCHAR,
    task VARCHAR,
    item_id VARCHAR,
    metric VARCHAR,
    correct DOUBLE, -- the item's value of the metric
    weight DOUBLE, -- the item's weight in the mean over items
    response VARCHAR -- what the model wrote or chose, in the row of the headline metric
);
ALTER TABLE benchmarks.items SET PARTITIONED BY (experiment);
