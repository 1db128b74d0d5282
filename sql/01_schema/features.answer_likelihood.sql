-- How likely a model finds each sample's last answer: sums of negative log-likelihoods, in nats. Divide by the number of
-- tokens (for the prompt, tokens minus one) to get means.
CREATE TABLE features.answer_likelihood (
    pool VARCHAR,
    model VARCHAR,
    -- base: the base model; rescored: the same, for a part of the pool, in other batches; pre_experience: IFD's model;
    -- published: IFD's model, with the published border
    reader VARCHAR,
    sample_id VARCHAR,
    prompt_tokens INTEGER, -- tokens that fit the scoring window
    answer_tokens INTEGER, -- tokens that fit the scoring window, and are scored
    direct_answer_tokens INTEGER, -- the same without the prompt; the number differs only with the published border
    unshifted_answer_tokens INTEGER, -- tokens that the published entropy script takes for the answer
    prompt_nll DOUBLE, -- the prompt's tokens except the first
    answer_nll DOUBLE, -- the answer's tokens, given the prompt
    direct_answer_nll DOUBLE, -- the same tokens without the prompt
    unshifted_answer_nll DOUBLE, -- each token by the prediction of the next token, as in the published script
    truncated BOOLEAN, -- the answer is cut by the scoring window
    prompt_cut INTEGER, -- tokens of the prompt that do not fit the scoring window; NULL: an earlier version did not count
    answer_cut INTEGER -- the same for the answer
);
ALTER TABLE features.answer_likelihood SET PARTITIONED BY (pool, model, reader);
