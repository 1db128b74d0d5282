-- Minus the position in the order of picking when targets take turns, or with $highest the highest cosine with a target.
SELECT
    sample_id,
    CASE WHEN $highest THEN similarity ELSE -place END::DOUBLE AS score,
    CASE WHEN NOT $highest AND place IS NULL THEN 'not among the picks up to the largest budget' END AS dropped
FROM features.target_similarity
WHERE pool = $pool AND model = $model AND targets = $targets
