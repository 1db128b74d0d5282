-- Tokens of the samples that an experiment selected, in its order.
SELECT counted.prompt_tokens, counted.answer_tokens
FROM selections.samples AS selected
JOIN features.token_count AS counted USING (sample_id)
WHERE selected.experiment = $experiment AND counted.pool = $pool AND counted.model = $model
ORDER BY selected.position
