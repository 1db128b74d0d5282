-- The last answer's mean negative log-likelihood given the prompt, divided by that without the prompt. Both means are over
-- the same tokens, so the number of tokens cancels.
WITH difficulty AS (
    SELECT sample_id, answer_nll / nullif(direct_answer_nll, 0) AS ifd, answer_nll IS NULL AS empty, truncated
    FROM features.answer_likelihood
    WHERE pool = $pool AND model = $model
),
judged AS (
    SELECT
        sample_id,
        ifd,
        CASE
            WHEN empty THEN 'no token of the answer fits the scoring window'
            WHEN truncated THEN 'the answer is cut by the scoring window'
            WHEN ifd IS NULL THEN 'the answer is certain without its prompt'
            WHEN ifd > 1 THEN 'the prompt makes the answer less likely (IFD above 1)'
        END AS dropped
    FROM difficulty
)
SELECT sample_id, CASE WHEN dropped IS NULL THEN ifd END AS score, dropped
FROM judged
