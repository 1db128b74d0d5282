-- What targeted methods select for: the samples of each target set, beside each pool.
CREATE TABLE pools.targets (
    pool VARCHAR,
    targets VARCHAR, -- name of the target set
    target VARCHAR, -- group of targets; a sample may be in several
    sample_id VARCHAR,
    messages STRUCT(role VARCHAR, content VARCHAR)[],
    in_pool BOOLEAN -- a sample of the pool has the same messages
);
ALTER TABLE pools.targets SET PARTITIONED BY (pool, targets);
