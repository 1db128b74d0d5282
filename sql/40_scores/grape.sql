-- A uniform draw of prompts for each of $seeds, and of each prompt the answer that the base model finds likeliest, by its
-- mean log-likelihood per token; of equal ones, the lowest id's. A prompt is everything before the last answer. The score
-- is the prompt's number in [0, 1), from the hash of prompt and seed, so that other prompts do not change the draw.
-- $features_pool is the pool itself or the pool that it is part of.
WITH answers AS (
    SELECT
        samples.sample_id,
        md5(to_json(samples.messages[:-2])) AS prompt,
        likelihood.answer_nll / likelihood.answer_tokens AS mean_nll
    FROM pools.samples
    JOIN features.answer_likelihood AS likelihood ON likelihood.sample_id = samples.sample_id
    WHERE
        samples.pool = $pool
        AND likelihood.pool = $features_pool
        AND likelihood.model = $model
        AND likelihood.reader = 'base'
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY prompt ORDER BY mean_nll NULLS LAST, sample_id) AS place
    FROM answers
)
SELECT
    seeds.seed,
    sample_id,
    CASE
        WHEN mean_nll IS NOT NULL AND place = 1
            THEN md5_number_lower(prompt || '/' || seeds.seed)::DOUBLE / 18446744073709551616.0
    END AS score,
    CASE
        WHEN mean_nll IS NULL THEN 'no token of the answer fits the scoring window'
        WHEN place > 1 THEN 'another answer to its prompt is likelier'
    END AS dropped
FROM ranked, unnest($seeds::INTEGER[]) AS seeds(seed)
