-- Whether a cheaper scorer picks what a dearer one picks: one row for each method, pool, pair of scorers and budget.
CREATE TABLE reports.proxy_card (
    method VARCHAR,
    pool VARCHAR,
    model VARCHAR, -- base model of the selection, by which the dearer scorer scores
    proxy VARCHAR, -- the cheaper scorer
    budget INTEGER, -- samples that each picks
    samples BIGINT, -- that both give a score
    unscored BIGINT, -- of the pool, that one of the two or both give no score
    picks BIGINT, -- of the dearer scorer
    shared BIGINT, -- of these, picks of the cheaper one too
    share_low DOUBLE, -- 95% interval of shared / picks
    share_high DOUBLE,
    by_chance DOUBLE, -- share that a uniform draw would pick too, on average
    correlation DOUBLE, -- Spearman's, over samples that both give a score; NULL where only picks have one
    correlation_low DOUBLE, -- 95% interval
    correlation_high DOUBLE,
    good_enough BOOLEAN, -- whether share_low is at least 0.8 of the way from by_chance to 1
    flops DOUBLE, -- of the cheaper scorer
    whole_flops DOUBLE, -- of the dearer one
    cpu_seconds DOUBLE,
    whole_cpu_seconds DOUBLE,
    gpu_seconds DOUBLE,
    whole_gpu_seconds DOUBLE
);
