-- The k-means cluster of the embedding of each sample's prompt, without its answer.
CREATE TABLE features.prompt_cluster (
    pool VARCHAR,
    model VARCHAR,
    sample_id VARCHAR,
    cluster INTEGER, -- from 0
    distance DOUBLE -- Euclidean, to the cluster's centre
);
ALTER TABLE features.prompt_cluster SET PARTITIONED BY (pool, model);
