-- What each rater's ratings of each pool cost: the work on their content as it is.
WITH newest AS (
    SELECT "partition", arg_max(data_version, made_at) AS data_version
    FROM reports.cost_ledger
    WHERE asset = 'rating_probability'
    GROUP BY "partition"
)
SELECT
    "partition",
    sum(cpu_seconds) AS cpu_seconds,
    sum(gpu_seconds) AS gpu_seconds,
    sum(forward_flops) AS forward_flops,
    sum(backward_flops) AS backward_flops
FROM reports.cost_ledger AS ledger
JOIN newest USING ("partition")
WHERE asset = 'rating_probability' AND ledger.data_version IS NOT DISTINCT FROM newest.data_version
GROUP BY "partition"
