-- Tokens of a sample's prompt and last answer, for each pool and model.
SELECT pool, model, prompt_tokens, answer_tokens
FROM features.token_count
WHERE sample_id = $sample_id
ORDER BY pool, model
