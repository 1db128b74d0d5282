-- How many rows of the source were dropped, and why.
CREATE TABLE pools.dropped (pool VARCHAR, reason VARCHAR, samples BIGINT);
