-- IFD: the last answer's mean negative log-likelihood given the prompt, divided by that without the prompt. The highest scores are picked first.
CREATE TABLE scores.ifd (
    pool VARCHAR,
    model VARCHAR, -- NULL where the scores do not depend on a model
    seed INTEGER, -- NULL where they do not depend on one
    sample_id VARCHAR,
    score DOUBLE, -- NULL: cannot be picked, see dropped
    dropped VARCHAR -- why a sample has no score
);
ALTER TABLE scores.ifd SET PARTITIONED BY (pool, model);
