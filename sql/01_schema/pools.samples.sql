-- The conversations that can be selected.
CREATE TABLE pools.samples (
    pool VARCHAR,
    sample_id VARCHAR, -- hash of the messages, and of which answers are trained on
    source VARCHAR, -- where in the pool's source the conversation comes from
    licence VARCHAR, -- NULL: not stated
    messages STRUCT(role VARCHAR, content VARCHAR)[],
    turns INTEGER, -- pairs of a user's and an assistant's message
    characters BIGINT,
    untrained INTEGER[], -- positions in messages, from 0, of answers that are not trained on; NULL: all are trained on
    file VARCHAR, -- file of the source that has the conversation
    file_row BIGINT -- its row or line in the file, from 1
);
ALTER TABLE pools.samples SET PARTITIONED BY (pool);
