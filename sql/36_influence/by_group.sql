-- Each sample's influence on each group of targets: the mean over the warm-up's checkpoints, weighted by learning rate.
-- $pool is the pool to select from, $features_pool itself or the pool that it is part of.
SELECT target, sample_id, sum(mean_learning_rate * influence) / sum(mean_learning_rate) AS influence
FROM features.gradient_influence
SEMI JOIN (FROM pools.samples WHERE pool = $pool) AS samples USING (sample_id)
WHERE pool = $features_pool AND model = $model AND direction = $direction AND influence IS NOT NULL
GROUP BY target, sample_id
ORDER BY target, sample_id
