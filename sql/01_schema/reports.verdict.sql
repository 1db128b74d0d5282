-- Whether each arm differs from random selection, on every measure, for each model, pool and budget.
CREATE TABLE reports.verdict (
    measure VARCHAR, -- average (of the benchmarks), a benchmark, or held_out_loss
    model VARCHAR,
    pool VARCHAR,
    budget INTEGER,
    method VARCHAR,
    verdict VARCHAR, -- better, worse, same, or not enough seeds
    -- of each of the two arms, to see a difference of the margin four times in five at Holm's first step; NULL: settled,
    -- or not known
    seeds_needed INTEGER,
    arm_runs INTEGER,
    random_runs INTEGER,
    difference DOUBLE, -- mean of the arm's runs minus that of the random runs; above 0 is better, on every measure
    -- 95% interval of the difference; NULL if random runs are too few, or all equal except for rounding. Where
    -- seeds are added, what those of all looks so far with this sign have in common, or the gap between them.
    low DOUBLE,
    high DOUBLE,
    visible DOUBLE, -- half of the interval, or of the last look's: such a true difference is seen half the time, by itself
    p_value DOUBLE, -- two-sided, of no difference
    p_adjusted DOUBLE, -- by Holm, for all comparisons of the family on the measure
    equivalent_within DOUBLE, -- the smallest margin within which the two are equivalent, by itself
    spread DOUBLE, -- standard deviation of one run, by the random ones
    items_low DOUBLE, -- of the average's 95% interval over items, for the runs that there are; NULL where a benchmark has too few
    items_high DOUBLE,
    both_low DOUBLE, -- of the average's 95% interval over other seeds and other items
    both_high DOUBLE,
    "role" VARCHAR, -- of the measure: primary (it answers the question), or exploratory
    family VARCHAR, -- what it is looked at together with: method, or control (base and all_data)
    seeds_needed_alone INTEGER, -- as seeds_needed, of one comparison by itself
    standard_error DOUBLE, -- of the difference
    freedom DOUBLE, -- its degrees of freedom
    spread_assumed BOOLEAN, -- whether the arm has one run, which is taken to vary as random runs do
    compared INTEGER, -- comparisons of the family that have a p-value
    detectable DOUBLE, -- the true difference that is seen four times in five at Holm's first step
    p_same DOUBLE, -- of a true difference of the margin or more
    p_same_adjusted DOUBLE, -- by Holm, for all comparisons of the family
    -- Beside the verdict: with one spread for all cells and arms of the measure; NULL where spreads are seen to differ.
    equal_spreads_p DOUBLE, -- of equal spreads (Brown and Forsythe); NULL where too few runs are there to pool
    pooled_spread DOUBLE,
    pooled_freedom DOUBLE,
    pooled_low DOUBLE,
    pooled_high DOUBLE,
    pooled_p_adjusted DOUBLE,
    pooled_verdict VARCHAR,
    -- Where seeds are added by looks, interval and p-values hold however often one looks; NULL where none are added.
    look INTEGER, -- how often it was looked at
    looks INTEGER, -- how often it may be looked at
    share DOUBLE -- of the error rate that this look may spend
);
