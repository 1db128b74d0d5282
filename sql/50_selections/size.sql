-- How many samples an experiment selected, and how many its pool has.
SELECT
    (SELECT count(*) FROM selections.samples WHERE experiment = $experiment) AS selected,
    (SELECT count(*) FROM pools.samples WHERE pool = $pool) AS pool_size
