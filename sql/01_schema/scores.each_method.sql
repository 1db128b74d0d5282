-- There is such a table for each method, with its name (quoted for a variant: scores."entropy.published"). The highest
-- scores are picked first.
CREATE TABLE scores.each_method (
    pool VARCHAR,
    model VARCHAR, -- NULL if the scores do not depend on a model
    seed INTEGER, -- NULL if they do not depend on a seed
    budget INTEGER, -- NULL if they do not depend on how many samples are selected
    sample_id VARCHAR,
    score DOUBLE, -- NULL: cannot be picked, see dropped
    dropped VARCHAR -- why a sample has no score
);
ALTER TABLE scores.each_method SET PARTITIONED BY (pool, model);
