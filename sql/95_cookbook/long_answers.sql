-- Do the methods just take long answers?
-- The median tokens of the last answers in each selection and in the pool, and the share of the selection that is among
-- the same number of longest answers in the pool. The random draws show the values by chance.
-- Ask: selection-platform sql @long_answers --set pool=instruct-mix
WITH lengths AS (
    SELECT
        model,
        sample_id,
        answer_tokens,
        row_number() OVER (PARTITION BY model ORDER BY answer_tokens DESC, sample_id) AS place,
        median(answer_tokens) OVER (PARTITION BY model) AS pool_median
    FROM features.token_count
    WHERE pool = $pool
),
selected AS (
    SELECT
        keys.experiment,
        lengths.*,
        count(*) OVER (PARTITION BY keys.experiment) AS samples
    FROM experiments.keys AS keys
    JOIN selections.samples USING (experiment)
    JOIN lengths USING (model, sample_id)
    WHERE keys.pool = $pool AND keys.pool_size IS NULL AND keys.method != 'all_data'
)
SELECT
    experiment,
    median(answer_tokens) AS median_tokens,
    any_value(pool_median) AS of_pool,
    round(100 * count(*) FILTER (place <= samples) / count(*), 1) AS percent_of_the_longest
FROM selected
GROUP BY experiment
ORDER BY median_tokens DESC, experiment
