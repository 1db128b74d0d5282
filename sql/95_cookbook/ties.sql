-- Does a score tell the samples apart?
-- How many different scores a method gives, and how many samples have its most frequent one. Among equal scores the
-- sample's id decides; where there is but one score, the method chose nothing.
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
