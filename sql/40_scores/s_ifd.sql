-- S-IFD, as the library computed it into $file. What IFD rejects has no score here either.
SELECT
    likelihood.sample_id,
    CASE WHEN rejected IS NULL THEN selective_ifd END AS score,
    rejected AS dropped
FROM features.answer_likelihood AS likelihood
JOIN read_parquet($file) AS selective USING (sample_id)
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN answer_nll IS NULL THEN 'no token of the answer fits the scoring window'
            WHEN truncated THEN 'the answer is cut by the scoring window'
            WHEN answer_nll > direct_answer_nll THEN 'the prompt makes the answer less likely (IFD above 1)'
            WHEN selective_ifd IS NULL THEN 'the prompt changes no token of the answer more than half of all tokens'
        END AS rejected
) AS reasons
WHERE likelihood.pool = $features_pool AND likelihood.model = $model AND likelihood.reader = 'base'
