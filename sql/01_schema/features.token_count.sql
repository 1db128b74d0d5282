-- Tokens of each sample's prompt and last answer, before any cut.
CREATE TABLE features.token_count (
    pool VARCHAR,
    model VARCHAR,
    sample_id VARCHAR,
    prompt_tokens INTEGER,
    answer_tokens INTEGER,
    nonzero_answer_tokens INTEGER -- without tokens of id 0, as in the published script
);
ALTER TABLE features.token_count SET PARTITIONED BY (pool, model);
