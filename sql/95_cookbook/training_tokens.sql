-- How many tokens does each selection train on?
-- Tokens of uncut conversations in one epoch: the prompts (with earlier answers) and the last answers, and their ratio
-- to the mean of the random draws with the same budget.
-- Ask: selection-platform sql @training_tokens --set pool=instruct-mix
WITH totals AS (
    SELECT
        keys.experiment,
        keys.method,
        keys.model,
        keys.budget,
        count(*) AS samples,
        sum(tokens.prompt_tokens)::BIGINT AS prompt_tokens,
        sum(tokens.answer_tokens)::BIGINT AS answer_tokens
    FROM experiments.keys AS keys
    JOIN selections.samples USING (experiment)
    JOIN features.token_count AS tokens USING (pool, model, sample_id)
    WHERE keys.pool = $pool AND keys.pool_size IS NULL
    GROUP BY ALL
)
SELECT
    experiment,
    samples,
    prompt_tokens,
    answer_tokens,
    round(
        (prompt_tokens + answer_tokens)
        / avg(prompt_tokens + answer_tokens) FILTER (method = 'random') OVER (PARTITION BY model, budget),
        2
    ) AS times_random
FROM totals
ORDER BY prompt_tokens + answer_tokens DESC, experiment
