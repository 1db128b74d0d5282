-- How similar each sample is to the targets of a set, by the base model's hidden states (RDS+).
CREATE TABLE features.target_similarity (
    pool VARCHAR,
    model VARCHAR,
    targets VARCHAR, -- name of the target set; with /whitened behind it where hidden states were whitened before
    sample_id VARCHAR,
    similarity DOUBLE, -- -1 to 1: the highest cosine with a target
    nearest VARCHAR, -- sample_id of that target
    place INTEGER -- position in the order of picking when targets take turns; NULL: beyond the largest budget
);
ALTER TABLE features.target_similarity SET PARTITIONED BY (pool, model, targets);
