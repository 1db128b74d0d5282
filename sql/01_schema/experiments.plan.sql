-- Which runs were planned and which arms were dropped, and why. Rows are only added. A run that is planned is due.
CREATE TABLE experiments.plan (
    round INTEGER, -- the rounds of a home, from 1: runs that were planned together
    planned_at TIMESTAMP, -- UTC
    decision VARCHAR, -- run, or dropped
    experiment VARCHAR, -- the planned run; NULL: an arm was dropped
    reason VARCHAR, -- in words
    expected_seconds DOUBLE, -- of the run; NULL: not known
    -- The comparison with random as it was then; NULL: a random run, which several comparisons use.
    measure VARCHAR,
    model VARCHAR,
    pool VARCHAR,
    budget INTEGER,
    method VARCHAR,
    verdict VARCHAR,
    look INTEGER, -- how often it was looked at
    looks INTEGER, -- how often it may be looked at
    difference DOUBLE,
    low DOUBLE, -- of the interval that holds however often one looks
    high DOUBLE,
    p_adjusted DOUBLE,
    p_same_adjusted DOUBLE,
    chance DOUBLE -- of the look to come that is most likely to settle it; NULL: not known, or there is none
);
