-- Mean of the base model's last hidden state over prompt and last answer.
CREATE TABLE features.sample_embedding (pool VARCHAR, model VARCHAR, sample_id VARCHAR, embedding FLOAT[]);
ALTER TABLE features.sample_embedding SET PARTITIONED BY (pool, model);
