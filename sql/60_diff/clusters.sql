-- Among the samples that only one of two experiments selects, the clusters with more samples than their share of the
-- pool: the $most largest surpluses of each experiment. central_id is the sample nearest to the cluster's centre.
WITH selected AS (
    SELECT sample_id, bool_or(experiment = $one) AS by_one, bool_or(experiment = $other) AS by_other
    FROM selections.samples
    WHERE experiment IN ($one, $other)
    GROUP BY sample_id
),
counted AS (
    SELECT
        clusters.cluster,
        count(*) FILTER (by_one AND NOT by_other) AS only_one,
        count(*) FILTER (by_other AND NOT by_one) AS only_other,
        count(*) FILTER (by_one AND by_other) AS "both",
        count(*) AS pool,
        arg_min(clusters.sample_id, (clusters.distance, clusters.sample_id)) AS central_id
    FROM features.sample_cluster AS clusters
    LEFT JOIN selected USING (sample_id)
    WHERE clusters.pool = $pool AND clusters.model = $model
    GROUP BY clusters.cluster
),
surpluses AS (
    SELECT
        *,
        only_one - sum(only_one) OVER () * pool / sum(pool) OVER () AS one_surplus,
        only_other - sum(only_other) OVER () * pool / sum(pool) OVER () AS other_surplus
    FROM counted
),
placed AS (
    SELECT
        *,
        row_number() OVER (ORDER BY one_surplus DESC, cluster) AS one_place,
        row_number() OVER (ORDER BY other_surplus DESC, cluster) AS other_place
    FROM surpluses
)
SELECT
    cluster,
    only_one,
    only_other,
    "both",
    placed.pool,
    central_id,
    [message.content FOR message IN samples.messages IF message.role = 'user'][1] AS central_question
FROM placed
LEFT JOIN pools.samples AS samples ON samples.pool = $pool AND samples.sample_id = central_id
WHERE (one_surplus > 0 AND one_place <= $most) OR (other_surplus > 0 AND other_place <= $most)
ORDER BY one_surplus - other_surplus DESC, cluster
