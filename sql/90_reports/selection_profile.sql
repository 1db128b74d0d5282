-- $experiments: one of each method in each pool, model and budget, in the order in which methods are to appear.
-- $clustered: whether the pools' embeddings are clustered.
WITH chosen AS (
    SELECT *, list_position($experiments::VARCHAR[], experiment) AS at
    FROM experiments.keys
    WHERE list_contains($experiments::VARCHAR[], experiment)
),
pool_samples AS (
    SELECT pool, sample_id, source, turns, characters FROM pools.samples WHERE pool IN (SELECT pool FROM chosen)
),
fifths AS (
    SELECT pool, quantile_cont(characters, [0.2, 0.4, 0.6, 0.8]) AS edges FROM pool_samples GROUP BY pool
),
-- Each sample's value of each trait. Clusters are those of one model; the other traits are the same for all.
placed AS (
    SELECT pool, sample_id, characters, 1 + len(list_filter(edges, edge -> edge < characters)) AS fifth
    FROM pool_samples
    JOIN fifths USING (pool)
),
traits AS (
    SELECT
        pool,
        NULL::VARCHAR AS model,
        sample_id,
        'length' AS trait,
        fifth AS "order",
        min(characters) OVER of_fifth || ' to ' || max(characters) OVER of_fifth AS "value"
    FROM placed
    WINDOW of_fifth AS (PARTITION BY pool, fifth)
    UNION ALL
    SELECT pool, NULL, sample_id, 'turns', least(turns, 4), CASE WHEN turns < 4 THEN turns::VARCHAR ELSE '4 or more' END
    FROM pool_samples
    UNION ALL
    SELECT pool, NULL, sample_id, 'source', -count(*) OVER (PARTITION BY pool, source), coalesce(source, 'not stated')
    FROM pool_samples
    UNION ALL
    SELECT
        pool, model, sample_id, 'cluster', -count(*) OVER (PARTITION BY pool, model, cluster), cluster::VARCHAR
    FROM features.sample_cluster
    WHERE $clustered
),
there AS (
    SELECT
        pool,
        model,
        trait,
        "value",
        row_number() OVER (PARTITION BY pool, model, trait ORDER BY "order", "value")::INTEGER AS place,
        count(*)::INTEGER AS there,
        count(*) / sum(count(*)) OVER (PARTITION BY pool, model, trait) AS pool_share
    FROM traits
    GROUP BY pool, model, trait, "order", "value"
),
selected AS (
    SELECT chosen.experiment, traits.trait, traits."value", count(*)::INTEGER AS selected
    FROM chosen
    JOIN selections.samples AS samples USING (experiment)
    JOIN traits
        ON traits.pool = chosen.pool
        AND traits.sample_id = samples.sample_id
        AND (traits.model IS NULL OR traits.model = chosen.model)
    GROUP BY ALL
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
