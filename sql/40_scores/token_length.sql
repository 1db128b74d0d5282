-- Tokens of the last answer. $published: without tokens of id 0.
SELECT sample_id, CASE WHEN $published THEN nonzero_answer_tokens ELSE answer_tokens END::DOUBLE AS score
FROM features.token_count
WHERE pool = $pool AND model = $model
