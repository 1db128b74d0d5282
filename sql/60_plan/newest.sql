-- The newest decision on each comparison.
SELECT measure, model, pool, budget, method, decision, reason
FROM experiments.plan
WHERE measure IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY measure, model, pool, budget, method ORDER BY round DESC, decision = 'dropped' DESC
) = 1
