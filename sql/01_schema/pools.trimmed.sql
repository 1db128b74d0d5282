-- How many rows of the source lost a part, and which; before the pool's limit. A row may have lost several.
CREATE TABLE pools.trimmed (pool VARCHAR, part VARCHAR, samples BIGINT);
