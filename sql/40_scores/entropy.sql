SELECT
    sample_id,
    answer_nll / answer_tokens AS score,
    CASE WHEN answer_nll IS NULL THEN 'no token of the answer fits the scoring window' END AS dropped
FROM features.answer_likelihood
WHERE pool = $pool AND model = $model
