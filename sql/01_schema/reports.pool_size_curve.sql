-- Each run's value of each measure, by the size of the pool that it selected from, and random runs from the whole pool.
CREATE TABLE reports.pool_size_curve (
    measure VARCHAR, -- as in reports.leaderboard
    model VARCHAR,
    pool VARCHAR, -- the whole pool
    budget INTEGER, -- NULL: all samples
    pool_size INTEGER, -- number of samples to select from
    whole BOOLEAN, -- whether these are the whole pool
    method VARCHAR,
    seed INTEGER,
    "value" DOUBLE
);
