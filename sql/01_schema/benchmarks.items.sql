-- One row per item, benchmark and experiment.
CREATE TABLE benchmarks.items (
    experiment VARCHAR,
    benchmark VARCHAR,
    task VARCHAR,
    item_id VARCHAR,
    metric VARCHAR,
    correct DOUBLE, -- the item's value of the metric
    weight DOUBLE, -- the item's weight in the mean over items
    response VARCHAR
);
ALTER TABLE benchmarks.items SET PARTITIONED BY (experiment);
