-- IFD of each sample by two scorings; NULL if it has none. It is that of 40_scores/ifd, which drops those above 1.
-- $again: the reader of the second scoring.
WITH difficulty AS (
    SELECT
        sample_id,
        reader,
        CASE
            WHEN NOT truncated
                THEN (answer_nll / answer_tokens) / nullif(direct_answer_nll / nullif(direct_answer_tokens, 0), 0)
        END AS ifd
    FROM features.answer_likelihood
    WHERE pool = $pool AND model = $model AND reader IN ('base', $again)
)
SELECT
    sample_id,
    max(ifd) FILTER (reader = 'base') AS first,
    max(ifd) FILTER (reader = $again) AS second
FROM difficulty
GROUP BY sample_id
ORDER BY sample_id
