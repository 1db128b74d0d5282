-- Samples that only one of two experiments selects: the first $most that it picks.
WITH selected AS (
    SELECT experiment, "position", sample_id
    FROM selections.samples
    WHERE experiment IN ($one, $other) AND $one != $other
    QUALIFY count(*) OVER (PARTITION BY sample_id) = 1
),
first_picked AS (
    SELECT *
    FROM selected
    QUALIFY row_number() OVER (PARTITION BY experiment ORDER BY "position", sample_id) <= $most
)
SELECT
    first_picked.experiment,
    first_picked."position",
    sample_id,
    [message.content FOR message IN samples.messages IF message.role = 'user'][1] AS question,
    samples.messages[-1].content AS answer
FROM first_picked
JOIN pools.samples AS samples USING (sample_id)
WHERE samples.pool = $pool
ORDER BY first_picked.experiment != $one, first_picked."position", sample_id
