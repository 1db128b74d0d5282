-- The last answer's mean negative log-likelihood with the prompt, divided by that without the prompt.
-- $reader: the model of the likelihoods. $published: rejected rows get 0, as in the published script, so they can be picked
-- when nothing else is left.
WITH difficulty AS (
    SELECT
        sample_id,
        (answer_nll / answer_tokens) / nullif(direct_answer_nll / nullif(direct_answer_tokens, 0), 0) AS ifd,
        answer_nll IS NULL AS empty,
        truncated
    FROM features.answer_likelihood
    WHERE pool = $pool AND model = $model AND reader = $reader
),
judged AS (
    SELECT
        sample_id,
        ifd,
        CASE
            WHEN empty THEN 'no token of the answer fits the scoring window'
            WHEN truncated THEN 'the answer is cut by the scoring window'
            WHEN ifd IS NULL THEN 'the answer is certain, or empty, without its prompt'
            WHEN ifd > 1 THEN 'the prompt makes the answer less likely (IFD above 1)'
        END AS rejected
    FROM difficulty
)
SELECT
    sample_id,
    CASE WHEN rejected IS NULL THEN ifd WHEN $published THEN 0 END AS score,
    CASE WHEN NOT $published THEN rejected END AS dropped
FROM judged
