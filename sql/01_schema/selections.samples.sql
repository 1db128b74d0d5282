-- The samples that each experiment trains on, best first.
CREATE TABLE selections.samples (experiment VARCHAR, "position" INTEGER, sample_id VARCHAR, score DOUBLE);
ALTER TABLE selections.samples SET PARTITIONED BY (experiment);
