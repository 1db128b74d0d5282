-- Tokens of each sample's prompt and last answer, uncut.
CREATE TABLE features.token_count (
    pool VARCHAR, model VARCHAR, sample_id VARCHAR, prompt_tokens INTEGER, answer_tokens INTEGER
);
ALTER TABLE features.token_count SET PARTITIONED BY (pool, model);
