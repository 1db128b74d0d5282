-- What each method selects with its first seed, beside what there is to select from.
CREATE TABLE reports.selection_profile (
    pool VARCHAR,
    model VARCHAR,
    budget INTEGER,
    method VARCHAR,
    trait VARCHAR, -- length (characters of the conversation, by fifths of the pool), turns, source, or cluster
    place INTEGER, -- of the value among those of the trait, from 1
    "value" VARCHAR,
    selected INTEGER, -- samples that have it, in the selection
    there INTEGER, -- in the pool
    share DOUBLE, -- of the selection
    pool_share DOUBLE -- of the pool
);
