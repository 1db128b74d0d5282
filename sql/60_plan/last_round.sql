SELECT coalesce(max(round), 0) AS "round" FROM experiments.plan
