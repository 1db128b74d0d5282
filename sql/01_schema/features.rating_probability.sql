-- How a model, the rater, rates the last answer of each sample of a pool: one row per rating prompt, of which there are five.
CREATE TABLE features.rating_probability (
    pool VARCHAR,
    model VARCHAR, -- the rater
    sample_id VARCHAR,
    prompt INTEGER, -- 1 to 5
    probabilities DOUBLE[], -- of the digits 1 to 5 as the next token, among all tokens
    truncated BOOLEAN, -- the answer is cut by the rating window
    prompt_cut INTEGER, -- tokens of the prompt that do not fit the rating window; NULL: an earlier version did not count
    answer_cut INTEGER -- the same for the answer
);
ALTER TABLE features.rating_probability SET PARTITIONED BY (pool, model);
