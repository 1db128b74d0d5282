-- What would a method select with another budget?
-- Its best samples, and whether an experiment of the method selects them now. Methods that score each budget separately
-- (diverse_evol, km_*) return no rows: run them with that budget.
-- Ask: selection-platform sql @other_budget --set pool=instruct-mix --set method=less --set budget=36
WITH ranked AS (
    SELECT
        model,
        seed,
        sample_id,
        score,
        row_number() OVER (PARTITION BY model, seed ORDER BY score DESC, sample_id) AS "position"
    FROM query_table('scores."' || $method || '"')
    WHERE pool = $pool AND budget IS NULL AND score IS NOT NULL
),
selected AS (
    SELECT DISTINCT keys.model, keys.seed, selected.sample_id
    FROM experiments.keys AS keys
    JOIN selections.samples AS selected USING (experiment)
    WHERE keys.pool = $pool AND keys.pool_size IS NULL AND keys.method = $method
)
SELECT
    ranked.model,
    ranked.seed,
    "position",
    ranked.sample_id,
    score,
    samples.source,
    EXISTS (
        FROM selected
        WHERE
            selected.sample_id = ranked.sample_id
            AND selected.model = coalesce(ranked.model, selected.model)
            AND selected.seed = coalesce(ranked.seed, selected.seed)
    ) AS selected_now
FROM ranked
JOIN pools.samples AS samples USING (sample_id)
WHERE samples.pool = $pool AND "position" <= $budget::BIGINT
ORDER BY ranked.model, ranked.seed, "position"
