-- Which sources does each method prefer?
-- For each experiment, the two sources with the most samples above their share of the pool.
-- Ask: selection-platform sql @sources --set pool=instruct-mix
WITH selected AS (
    SELECT keys.experiment, samples.source, count(*) AS samples
    FROM experiments.keys AS keys
    JOIN selections.samples AS selected USING (experiment)
    JOIN pools.samples AS samples USING (pool, sample_id)
    WHERE keys.pool = $pool AND keys.pool_size IS NULL AND keys.method != 'all_data'
    GROUP BY keys.experiment, samples.source
),
shares AS (
    SELECT *, 100 * samples / sum(samples) OVER (PARTITION BY experiment) AS percent
    FROM selected
),
pool_shares AS (
    SELECT source, 100 * count(*) / (SELECT count(*) FROM pools.samples WHERE pool = $pool) AS of_pool
    FROM pools.samples
    WHERE pool = $pool
    GROUP BY source
)
SELECT experiment, source, samples, round(percent, 1) AS percent, round(of_pool, 1) AS of_pool
FROM shares
JOIN pool_shares USING (source)
WHERE shares.percent > pool_shares.of_pool
QUALIFY row_number() OVER (PARTITION BY experiment ORDER BY shares.percent - pool_shares.of_pool DESC, source) <= 2
ORDER BY experiment, shares.percent - pool_shares.of_pool DESC, source
