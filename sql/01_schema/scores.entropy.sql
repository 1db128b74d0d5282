-- Entropy: mean negative log-likelihood of the last answer's tokens given the prompt, in nats. The highest scores are picked first.
CREATE TABLE scores.entropy (
    pool VARCHAR,
    model VARCHAR, -- NULL where the scores do not depend on a model
    seed INTEGER, -- NULL where they do not depend on one
    sample_id VARCHAR,
    score DOUBLE, -- NULL: cannot be picked, see dropped
    dropped VARCHAR -- why a sample has no score
);
ALTER TABLE scores.entropy SET PARTITIONED BY (pool, model);
