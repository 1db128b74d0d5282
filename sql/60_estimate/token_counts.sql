-- Tokens of a pool's samples by a model's tokenizer, before any cut, in the order of ids.
SELECT prompt_tokens, answer_tokens
FROM features.token_count
WHERE pool = $pool AND model = $model
ORDER BY sample_id
