-- What the base model makes of each sample's last answer. Sums of negative log-likelihoods, in nats: divide by the tokens
-- (for the prompt, tokens less one) for means.
CREATE TABLE features.answer_likelihood (
    pool VARCHAR,
    model VARCHAR,
    sample_id VARCHAR,
    prompt_tokens INTEGER, -- that fit the scoring window
    answer_tokens INTEGER, -- that fit the scoring window, and are scored
    prompt_nll DOUBLE, -- of the prompt's tokens but the first
    answer_nll DOUBLE, -- of the answer's tokens given the prompt
    direct_answer_nll DOUBLE, -- of the same tokens without the prompt
    truncated BOOLEAN
);
ALTER TABLE features.answer_likelihood SET PARTITIONED BY (pool, model);
