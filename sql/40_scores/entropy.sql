-- Mean negative log-likelihood of the last answer's tokens given the prompt, in nats.
-- $published: as in the published script, which compares each token with the prediction of the next token.
SELECT
    sample_id,
    CASE
        WHEN $published THEN unshifted_answer_nll / unshifted_answer_tokens
        ELSE answer_nll / answer_tokens
    END AS score,
    CASE WHEN answer_nll IS NULL THEN 'no token of the answer fits the scoring window' END AS dropped
FROM features.answer_likelihood
WHERE pool = $pool AND model = $model AND reader = 'base'
