-- The conversations that can be selected.
CREATE TABLE pools.samples (
    pool VARCHAR,
    sample_id VARCHAR, -- hash of the messages, and of which answers are trained on
    source VARCHAR, -- where in the pool's source the conversation comes from
    licence VARCHAR, -- NULL: none is stated
    messages STRUCT(role VARCHAR, content VARCHAR)[],
    turns INTEGER, -- pairs of a user's and an assistant's message
    characters BIGINT,
    untrained INTEGER[], -- places in messages, from 0, of answers that are not trained on; NULL: all are
    file VARCHAR, -- of the source, in which the conversation stands
    file_row BIGINT -- its row or line there, from 1
);
ALTER TABLE pools.samples SET PARTITIONED BY (pool);
