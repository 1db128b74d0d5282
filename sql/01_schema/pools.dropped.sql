-- How many rows of the source are in no split, and why.
CREATE TABLE pools.dropped (pool VARCHAR, reason VARCHAR, samples BIGINT);
