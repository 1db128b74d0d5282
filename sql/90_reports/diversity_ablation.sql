-- $methods and $wrappers: methods, and in the same order their k-means wrappers.
WITH pairs AS (SELECT unnest($methods::VARCHAR[]) AS method, unnest($wrappers::VARCHAR[]) AS wrapper),
means AS (
    SELECT
        board.measure,
        board.model,
        board.pool,
        keys.budget,
        keys.method,
        count(*)::INTEGER AS runs,
        avg(board."value") AS "value"
    FROM reports.leaderboard AS board
    JOIN experiments.keys AS keys USING (experiment)
    GROUP BY ALL
)
SELECT
    measure,
    model,
    pool,
    budget,
    pairs.method,
    plain.runs,
    clustered.runs AS clustered_runs,
    plain."value",
    clustered."value" AS clustered_value,
    (clustered."value" - plain."value") * CASE WHEN measure = 'held_out_loss' THEN -1 ELSE 1 END AS gain
FROM pairs
JOIN means AS plain ON plain.method = pairs.method
JOIN means AS clustered USING (measure, model, pool, budget)
WHERE clustered.method = pairs.wrapper
ORDER BY measure, model, pool, budget, list_position($methods::VARCHAR[], pairs.method)
