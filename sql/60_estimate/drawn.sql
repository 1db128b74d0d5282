-- Tokens of a uniform draw from a pool, the same as 36_influence/random_samples draws.
SELECT prompt_tokens, answer_tokens
FROM (
    SELECT sample_id, prompt_tokens, answer_tokens
    FROM features.token_count
    WHERE pool = $pool AND model = $model
    ORDER BY md5(sample_id || '/' || $seed), sample_id
    LIMIT $limit
)
ORDER BY sample_id
