-- Conversations that no method can select.
CREATE TABLE pools.held_out (
    pool VARCHAR,
    split VARCHAR, -- held_out: to measure the held-out loss on; base_model: to pre-train base models on
    sample_id VARCHAR,
    source VARCHAR,
    licence VARCHAR,
    messages STRUCT(role VARCHAR, content VARCHAR)[],
    turns INTEGER,
    characters BIGINT,
    untrained INTEGER[], -- positions in messages, from 0, of answers that are not trained on; NULL: all are trained on
    file VARCHAR, -- file of the source that has the conversation
    file_row BIGINT -- its row or line in the file, from 1
);
ALTER TABLE pools.held_out SET PARTITIONED BY (pool, split);
