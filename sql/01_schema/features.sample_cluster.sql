-- The k-means cluster of each sample's embedding: the base model's, or the sentence encoder's (setting k_means.vectors).
CREATE TABLE features.sample_cluster (
    pool VARCHAR,
    model VARCHAR,
    sample_id VARCHAR,
    cluster INTEGER, -- from 0
    distance DOUBLE -- Euclidean, to the cluster's centre
);
ALTER TABLE features.sample_cluster SET PARTITIONED BY (pool, model);
