-- How many rows of the source lost which part, before the pool's limit. A row may have lost several parts.
CREATE TABLE pools.trimmed (pool VARCHAR, part VARCHAR, samples BIGINT);
