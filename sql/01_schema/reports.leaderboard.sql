-- Every measure of every arm, for each model and pool.
CREATE TABLE reports.leaderboard (
    measure VARCHAR, -- average (of the benchmarks), a benchmark, or held_out_loss
    arm VARCHAR, -- the method, with the seed if it has several
    model VARCHAR,
    pool VARCHAR,
    "value" DOUBLE, -- percent, higher is better; bits per byte, lower is better, for held_out_loss
    experiment VARCHAR
);
