-- $experiments: one per method, pool, model and budget, in the order in which methods should appear.
WITH chosen AS (
    SELECT *, list_position($experiments::VARCHAR[], experiment) AS place
    FROM experiments.keys
    WHERE list_contains($experiments::VARCHAR[], experiment)
),
samples AS (
    SELECT experiment, sample_id
    FROM selections.samples
    WHERE list_contains($experiments::VARCHAR[], experiment)
),
shared AS (
    SELECT a.experiment AS one, b.experiment AS other, count(*) AS shared
    FROM samples AS a
    JOIN samples AS b USING (sample_id)
    GROUP BY ALL
),
pool_sizes AS (SELECT pool, count(*) AS samples FROM pools.samples GROUP BY pool)
SELECT
    a.pool,
    a.model,
    a.budget,
    a.method AS one,
    b.method AS other,
    coalesce(shared.shared, 0)::INTEGER AS shared,
    a.budget * a.budget / pool_sizes.samples AS by_chance
FROM chosen AS a
JOIN chosen AS b
    ON b.pool = a.pool AND b.model IS NOT DISTINCT FROM a.model AND b.budget = a.budget
JOIN pool_sizes ON pool_sizes.pool = a.pool
LEFT JOIN shared ON shared.one = a.experiment AND shared.other = b.experiment
WHERE a.place < b.place
ORDER BY a.place, b.place
