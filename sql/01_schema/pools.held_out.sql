-- Conversations that no method can select.
CREATE TABLE pools.held_out (
    pool VARCHAR,
    split VARCHAR, -- held_out: the held-out loss is measured on it; base_model: base models may be pre-trained on it
    sample_id VARCHAR,
    source VARCHAR,
    licence VARCHAR,
    messages STRUCT(role VARCHAR, content VARCHAR)[],
    turns INTEGER,
    characters BIGINT,
    untrained INTEGER[], -- places in messages, from 0, of answers that are not trained on; NULL: all are
    file VARCHAR, -- of the source, in which the conversation stands
    file_row BIGINT -- its row or line there, from 1
);
ALTER TABLE pools.held_out SET PARTITIONED BY (pool, split);
