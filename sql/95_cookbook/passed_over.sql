-- Which samples score high, but nobody selects them?
-- The samples with the best scores of one method that are in no selection, except selections of the whole pool.
-- Ask: selection-platform sql @passed_over --set pool=instruct-mix --set method=selectit
WITH ranked AS (
    SELECT
        model,
        seed,
        budget,
        sample_id,
        score,
        rank() OVER (PARTITION BY model, seed, budget ORDER BY score DESC) AS "rank"
    FROM query_table('scores."' || $method || '"')
    WHERE pool = $pool AND score IS NOT NULL
),
chosen AS (
    SELECT DISTINCT selected.sample_id
    FROM experiments.keys AS keys
    JOIN selections.samples AS selected USING (experiment)
    WHERE keys.pool = $pool AND keys.method != 'all_data'
)
SELECT model, "rank", score, sample_id, samples.source, samples.turns, samples.characters
FROM ranked
ANTI JOIN chosen USING (sample_id)
JOIN pools.samples AS samples USING (sample_id)
WHERE samples.pool = $pool
ORDER BY "rank", model, seed, budget, sample_id
LIMIT 10
