-- How many samples two selections share, and how many two uniform draws of the same sizes would share on average.
WITH counted AS (
    SELECT
        (SELECT count(*) FROM selections.samples WHERE experiment = $one) AS one,
        (SELECT count(*) FROM selections.samples WHERE experiment = $other) AS other,
        (
            SELECT count(*)
            FROM selections.samples AS a
            JOIN selections.samples AS b USING (sample_id)
            WHERE a.experiment = $one AND b.experiment = $other
        ) AS shared,
        (SELECT count(*) FROM pools.samples WHERE pool = $pool) AS pool_size
)
SELECT one, other, shared, one * other / nullif(pool_size, 0) AS shared_by_chance
FROM counted
