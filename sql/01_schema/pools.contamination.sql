-- The samples of a pool that hold a benchmark's item: a run of 13 words of it, or a text that is nearly the same.
-- One row per sample and item.
CREATE TABLE pools.contamination (
    pool VARCHAR,
    sample_id VARCHAR,
    benchmark VARCHAR,
    item_id VARCHAR, -- as in benchmarks.items, but without the number of an item that has the same content as an earlier one
    shares_words BOOLEAN, -- a message and the item have 13 consecutive words in common
    similarity DOUBLE -- Jaccard similarity of the message and the item's text that are most alike, over runs of 5 words
);
ALTER TABLE pools.contamination SET PARTITIONED BY (pool);
