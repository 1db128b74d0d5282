-- The mean learning rate of each epoch of LESS's warm-up, the first before the others.
SELECT DISTINCT epoch, mean_learning_rate
FROM features.gradient_influence
WHERE pool = $pool AND model = $model AND direction = $direction
ORDER BY epoch
