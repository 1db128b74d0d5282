-- ZIP: minus the place in the greedy order. The highest scores are picked first.
CREATE TABLE scores.zip (
    pool VARCHAR,
    model VARCHAR, -- NULL where the scores do not depend on a model
    seed INTEGER, -- NULL where they do not depend on one
    sample_id VARCHAR,
    score DOUBLE, -- NULL: cannot be picked, see dropped
    ratio DOUBLE, -- raw bytes / compressed bytes of the picks of its round up to this one
    dropped VARCHAR -- why a sample has no score
);
ALTER TABLE scores.zip SET PARTITIONED BY (pool, model);
