-- Properties of each method's selection with its first seed, compared with the pool.
CREATE TABLE reports.selection_profile (
    pool VARCHAR,
    model VARCHAR,
    budget INTEGER,
    method VARCHAR,
    trait VARCHAR, -- length (characters of the conversation, by fifths of the pool), turns, source, or cluster
    place INTEGER, -- position of the value among the trait's values, from 1
    "value" VARCHAR,
    selected INTEGER, -- samples of the selection with this value
    there INTEGER, -- samples of the pool with this value
    share DOUBLE, -- share of the selection
    pool_share DOUBLE -- share of the pool
);
