-- How many of the samples that each experiment selects were trained on, and what of them was cut at the longest length.
CREATE TABLE experiments.training (
    experiment VARCHAR,
    selected INTEGER,
    trained INTEGER, -- samples, whole or cut
    cut INTEGER, -- of these, samples that were cut
    dropped INTEGER, -- samples that were left out: nothing to learn was left of them
    answer_tokens BIGINT, -- learnt in one epoch
    answer_tokens_cut BIGINT -- that would be learnt too if nothing were cut; NULL: an earlier version did not count them
);
ALTER TABLE experiments.training SET PARTITIONED BY (experiment);
