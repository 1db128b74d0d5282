-- Whether each arm differs from random selection, on every measure, for each model, pool and budget.
CREATE TABLE reports.verdict (
    measure VARCHAR, -- average (of the benchmarks), a benchmark, or held_out_loss
    model VARCHAR,
    pool VARCHAR,
    budget INTEGER,
    method VARCHAR,
    verdict VARCHAR, -- better, worse, same, or not enough seeds
    seeds_needed INTEGER, -- of each of the two arms, to see a difference of the margin; NULL: settled, or not known
    arm_runs INTEGER,
    random_runs INTEGER,
    difference DOUBLE, -- mean of the arm's runs less that of the random ones; above 0 is better, on every measure
    low DOUBLE, -- of the 95% interval of the difference; NULL where random runs are too few, or all equal but for rounding
    high DOUBLE,
    visible DOUBLE, -- half of that interval: the smallest difference that could have been seen
    p_value DOUBLE, -- two-sided, of no difference
    p_adjusted DOUBLE, -- by Holm, for all comparisons on the measure
    equivalent_within DOUBLE, -- the smallest margin within which the two are equivalent
    spread DOUBLE, -- standard deviation of one run, by the random ones
    items_low DOUBLE, -- of the average's 95% interval over items, for the runs that there are; NULL where a benchmark has too few
    items_high DOUBLE
);
