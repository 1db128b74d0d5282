-- Does a score tell the samples apart?
-- The number of different scores of a method, and of samples with its most frequent score. Among equal scores the
-- sample id decides; with only one score, the method has selected nothing itself.
-- Ask: selection-platform sql @ties --set method=ifd.published
WITH counted AS (
    SELECT pool, model, seed, budget, score, count(*) AS samples
    FROM query_table('scores."' || $method || '"')
    GROUP BY ALL
)
SELECT
    pool,
    model,
    seed,
    budget,
    sum(samples) FILTER (score IS NOT NULL)::BIGINT AS scored,
    coalesce(sum(samples) FILTER (score IS NULL), 0)::BIGINT AS without_score,
    count(score) AS distinct_scores,
    arg_max(score, (samples, score)) FILTER (score IS NOT NULL) AS most_frequent,
    max(samples) FILTER (score IS NOT NULL) AS samples_with_it
FROM counted
GROUP BY pool, model, seed, budget
ORDER BY pool, model, seed, budget
