-- Whether each arm differs from random selection, on every measure, for each model, pool and budget.
CREATE TABLE reports.verdict (
    measure VARCHAR, -- average (of the benchmarks), a benchmark, or held_out_loss
    model VARCHAR,
    pool VARCHAR,
    budget INTEGER,
    method VARCHAR,
    verdict VARCHAR, -- better, worse, same, or not enough seeds
    seeds_needed INTEGER, -- seeds of each of the two arms to see a difference of the margin; NULL: decided, or unknown
    arm_runs INTEGER,
    random_runs INTEGER,
    difference DOUBLE, -- mean of the arm's runs minus that of the random runs; above 0 is better, on every measure
    low DOUBLE, -- 95% interval of the difference; NULL if random runs are too few, or all equal except for rounding
    high DOUBLE,
    visible DOUBLE, -- half of that interval: the smallest difference that could have been seen
    p_value DOUBLE, -- two-sided, of no difference
    p_adjusted DOUBLE, -- after Holm's correction, for all comparisons on the measure
    equivalent_within DOUBLE, -- the smallest margin within which the two are equivalent
    spread DOUBLE, -- standard deviation of one run, estimated from random runs
    items_low DOUBLE, -- 95% interval of the average over items, for the existing runs
    items_high DOUBLE
);
