-- Each run's value of each measure by the size of the pool that was selected from, beside random runs of the whole pool.
CREATE TABLE reports.pool_size_curve (
    measure VARCHAR, -- as in reports.leaderboard
    model VARCHAR,
    pool VARCHAR, -- the whole pool
    budget INTEGER, -- NULL: all that there is to select from
    pool_size INTEGER, -- samples that were selected from
    whole BOOLEAN, -- whether these were the whole pool
    method VARCHAR,
    seed INTEGER,
    "value" DOUBLE
);
