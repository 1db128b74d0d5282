-- What the experiments' keys mean.
CREATE TABLE experiments.keys (
    experiment VARCHAR,
    method VARCHAR,
    pool VARCHAR, -- NULL: the base model, trained on nothing
    model VARCHAR,
    budget INTEGER, -- NULL: the whole pool
    seed INTEGER,
    pool_size INTEGER -- samples of the part of the pool that is selected from; NULL: the whole pool
);
