-- How many looks each arm was to have at most, when it was first planned.
SELECT method, arg_min(looks, round) AS looks
FROM experiments.plan
WHERE measure IS NOT NULL
GROUP BY method
ORDER BY method
