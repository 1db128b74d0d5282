-- A sample's score in the table $table, and its rank among the samples that were scored with it. Equal scores share the
-- better rank. The percentile counts lower scores, and half of the equal ones, including its own.
WITH mine AS (
    SELECT pool, model, seed, budget, score, dropped
    FROM query_table($table)
    WHERE sample_id = $sample_id
),
counted AS (
    SELECT
        mine.*,
        count(others.score) AS scored,
        count(*) FILTER (others.score > mine.score) AS higher,
        count(*) FILTER (others.score = mine.score) AS equal
    FROM mine
    JOIN query_table($table) AS others
        ON others.pool = mine.pool
        AND others.model IS NOT DISTINCT FROM mine.model
        AND others.seed IS NOT DISTINCT FROM mine.seed
        AND others.budget IS NOT DISTINCT FROM mine.budget
    GROUP BY ALL
)
SELECT
    pool,
    model,
    seed,
    budget,
    score,
    CASE WHEN score IS NOT NULL THEN higher + 1 END AS "rank",
    CASE WHEN score IS NOT NULL THEN equal END AS tied,
    scored,
    CASE WHEN score IS NOT NULL THEN 100 * (scored - higher - equal / 2) / scored END AS percentile,
    dropped
FROM counted
ORDER BY pool, model NULLS FIRST, seed, budget
