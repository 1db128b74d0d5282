-- Tokens of the last answer.
SELECT sample_id, answer_tokens::DOUBLE AS score
FROM features.token_count
WHERE pool = $pool AND model = $model
