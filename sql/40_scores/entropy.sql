-- Mean negative log-likelihood of the last answer's tokens given the prompt, in nats.
SELECT
    sample_id,
    answer_nll / answer_tokens AS score,
    CASE WHEN answer_nll IS NULL THEN 'no token of the answer fits the scoring window' END AS dropped
FROM features.answer_likelihood
WHERE pool = $pool AND model = $model
