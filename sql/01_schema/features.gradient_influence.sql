-- How much a training step on each sample would help each group of targets, for each checkpoint of LESS's warm-up: the
-- mean cosine between the sample's Adam step and the targets' gradients.
CREATE TABLE features.gradient_influence (
    pool VARCHAR,
    model VARCHAR,
    sample_id VARCHAR,
    epoch INTEGER, -- epoch of the warm-up, from 1
    mean_learning_rate DOUBLE, -- mean over that epoch
    direction VARCHAR, -- adam: the step that the optimiser would take; published: the published code's; with a target set's name behind it: adam/mine
    target VARCHAR, -- group of targets
    influence DOUBLE -- -1 to 1; NULL if no token of the answer fits the scoring window
);
ALTER TABLE features.gradient_influence SET PARTITIONED BY (pool, model);
