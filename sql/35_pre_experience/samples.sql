-- The conversations that IFD's pre-experience model is trained on: in each cluster of prompts, those whose perplexity is in
-- the middle half, evenly spaced in the order of sample ids. A cluster with fewer prompts than wanted is taken whole.
WITH prompts AS (
    SELECT clusters.sample_id, clusters.cluster, likelihood.prompt_nll / (likelihood.prompt_tokens - 1) AS mean_nll
    FROM features.prompt_cluster AS clusters
    JOIN features.answer_likelihood AS likelihood USING (pool, model, sample_id)
    WHERE pool = $pool AND model = $model AND reader = 'base' AND prompt_tokens > 1
),
quartiles AS (
    SELECT
        cluster,
        quantile_cont(exp(mean_nll), 0.25) AS lower,
        quantile_cont(exp(mean_nll), 0.75) AS upper,
        count(*) AS members
    FROM prompts
    GROUP BY cluster
),
middling AS (
    SELECT
        cluster,
        sample_id,
        row_number() OVER by_id - 1 AS place,
        count(*) OVER (PARTITION BY cluster) AS candidates
    FROM prompts
    JOIN quartiles USING (cluster)
    WHERE members < $per_cluster OR exp(mean_nll) BETWEEN lower AND upper
    WINDOW by_id AS (PARTITION BY cluster ORDER BY sample_id)
),
spaced AS (
    SELECT sample_id
    FROM middling
    -- The last of each of $per_cluster equal parts; all if there are no more than that.
    WHERE candidates <= $per_cluster OR (place + 1) * $per_cluster // candidates > place * $per_cluster // candidates
)
SELECT row_number() OVER (ORDER BY sample_id)::INTEGER AS position, samples.sample_id, samples.messages
FROM spaced
JOIN pools.samples AS samples USING (sample_id)
WHERE samples.pool = $pool
ORDER BY position
