-- How likely a model finds each sample's last answer. Sums of negative log-likelihoods, in nats: divide by the tokens
-- (for the prompt, tokens less one) for means.
CREATE TABLE features.answer_likelihood (
    pool VARCHAR,
    model VARCHAR,
    reader VARCHAR, -- base: the base model; pre_experience: IFD's model; published: that, with the published border
    sample_id VARCHAR,
    prompt_tokens INTEGER, -- that fit the scoring window
    answer_tokens INTEGER, -- that fit the scoring window, and are scored
    direct_answer_tokens INTEGER, -- the same, without the prompt: as many but for the published border
    unshifted_answer_tokens INTEGER, -- what the published entropy script takes for the answer
    prompt_nll DOUBLE, -- of the prompt's tokens but the first
    answer_nll DOUBLE, -- of the answer's tokens given the prompt
    direct_answer_nll DOUBLE, -- of the same tokens without the prompt
    unshifted_answer_nll DOUBLE, -- of each token by the prediction of the token after it, as in the published script
    truncated BOOLEAN, -- the answer is cut by the scoring window
    prompt_cut INTEGER, -- tokens of the prompt that do not fit the scoring window; NULL: an earlier version did not count
    answer_cut INTEGER -- likewise of the answer
);
ALTER TABLE features.answer_likelihood SET PARTITIONED BY (pool, model, reader);
