-- How many of each experiment's selected samples were trained on, and how much was cut at the maximum length.
CREATE TABLE experiments.training (
    experiment VARCHAR,
    selected INTEGER,
    trained INTEGER, -- samples, whole or cut
    cut INTEGER, -- trained samples that were cut
    dropped INTEGER, -- samples that were left out because no answer was left after the cut
    answer_tokens BIGINT, -- trained on in one epoch
    answer_tokens_cut BIGINT -- lost by cutting; NULL: an earlier version did not count them
);
ALTER TABLE experiments.training SET PARTITIONED BY (experiment);
