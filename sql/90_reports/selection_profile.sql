-- $experiments: one per method, pool, model and budget, in the order in which methods should appear.
-- $clustered: whether the pools' embeddings are clustered.
-- A pool's samples are only counted in groups, so that memory does not grow with the pool.
WITH chosen AS (
    SELECT *, list_position($experiments::VARCHAR[], experiment) AS at
    FROM experiments.keys
    WHERE list_contains($experiments::VARCHAR[], experiment)
),
pool_samples AS (
    SELECT
        pool,
        sample_id,
        characters,
        coalesce(source, 'not stated') AS source,
        least(turns, 4) AS turns,
        CASE WHEN turns < 4 THEN turns::VARCHAR ELSE '4 or more' END AS turns_value
    FROM pools.samples
    WHERE pool IN (SELECT pool FROM chosen)
),
fifths AS (
    SELECT pool, quantile_cont(characters, [0.2, 0.4, 0.6, 0.8]) AS edges FROM pool_samples GROUP BY pool
),
placed AS (
    SELECT *, 1 + len(list_filter(edges, edge -> edge < characters)) AS fifth FROM pool_samples JOIN fifths USING (pool)
),
lengths AS (
    SELECT pool, fifth, min(characters) || ' to ' || max(characters) AS "value", count(*) AS samples
    FROM placed
    GROUP BY pool, fifth
),
-- How many samples of a pool have each value of each trait. Clusters depend on the model; other traits do not.
counted AS (
    SELECT pool, NULL::VARCHAR AS model, 'length' AS trait, fifth AS "order", "value", samples FROM lengths
    UNION ALL
    SELECT pool, NULL, 'turns', turns, turns_value, count(*) FROM pool_samples GROUP BY pool, turns, turns_value
    UNION ALL
    SELECT pool, NULL, 'source', -count(*), source, count(*) FROM pool_samples GROUP BY pool, source
    UNION ALL
    SELECT pool, model, 'cluster', -count(*), cluster::VARCHAR, count(*)
    FROM features.sample_cluster
    WHERE $clustered
    GROUP BY pool, model, cluster
),
there AS (
    SELECT
        pool,
        model,
        trait,
        "value",
        row_number() OVER (PARTITION BY pool, model, trait ORDER BY "order", "value")::INTEGER AS place,
        samples::INTEGER AS there,
        samples / sum(samples) OVER (PARTITION BY pool, model, trait) AS pool_share
    FROM counted
),
picked AS (
    SELECT chosen.experiment, chosen.model, placed.*
    FROM chosen
    JOIN selections.samples USING (experiment)
    JOIN placed ON placed.pool = chosen.pool AND placed.sample_id = samples.sample_id
),
values_of_picked AS (
    SELECT experiment, 'length' AS trait, "value" FROM picked JOIN lengths USING (pool, fifth)
    UNION ALL
    SELECT experiment, 'turns', turns_value FROM picked
    UNION ALL
    SELECT experiment, 'source', source FROM picked
    UNION ALL
    SELECT experiment, 'cluster', cluster::VARCHAR
    FROM picked
    JOIN features.sample_cluster USING (pool, model, sample_id)
    WHERE $clustered
),
selected AS (
    SELECT experiment, trait, "value", count(*)::INTEGER AS selected FROM values_of_picked GROUP BY ALL
)
SELECT
    chosen.pool,
    chosen.model,
    chosen.budget,
    chosen.method,
    there.trait,
    there.place,
    there."value",
    coalesce(selected.selected, 0) AS selected,
    there.there,
    coalesce(selected.selected, 0) / chosen.budget AS share,
    there.pool_share
FROM chosen
JOIN there ON there.pool = chosen.pool AND (there.model IS NULL OR there.model = chosen.model)
LEFT JOIN selected
    ON selected.experiment = chosen.experiment
    AND selected.trait = there.trait
    AND selected."value" = there."value"
ORDER BY chosen.at, there.trait, there.place
