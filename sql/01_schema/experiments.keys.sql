-- The parts of each experiment's key.
CREATE TABLE experiments.keys (
    experiment VARCHAR,
    method VARCHAR,
    pool VARCHAR, -- NULL: the base model, which is not trained
    model VARCHAR,
    budget INTEGER, -- NULL: the whole pool
    seed INTEGER,
    pool_size INTEGER -- size of the part of the pool to select from; NULL: the whole pool
);
