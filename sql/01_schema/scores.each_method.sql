-- One such table for each method, named after it (a variant's in quotes: scores."entropy.published"). The highest scores
-- are picked first.
CREATE TABLE scores.each_method (
    pool VARCHAR,
    model VARCHAR, -- NULL where the scores do not depend on a model
    seed INTEGER, -- NULL where they do not depend on one
    budget INTEGER, -- NULL where they do not depend on how many samples are selected
    sample_id VARCHAR,
    score DOUBLE, -- NULL: cannot be picked, see dropped
    dropped VARCHAR -- why a sample has no score
);
ALTER TABLE scores.each_method SET PARTITIONED BY (pool, model);
