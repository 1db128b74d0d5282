-- How many targets there are beside a pool, in how many groups, and how many of them the pool has too.
SELECT
    count(DISTINCT sample_id) AS targets,
    count(DISTINCT target) AS groups,
    count(DISTINCT sample_id) FILTER (in_pool) AS repeated
FROM pools.targets
WHERE pool = $pool AND targets = $targets
