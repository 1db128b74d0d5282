-- The newest decision of each comparison, with the number of the last round.
SELECT measure, model, pool, budget, method, decision, reason, looks, max(round) OVER () AS last_round
FROM experiments.plan
QUALIFY row_number() OVER (
    PARTITION BY measure, model, pool, budget, method ORDER BY round DESC, decision = 'dropped' DESC
) = 1
