-- How many items of each benchmark the samples of a pool were compared with.
CREATE TABLE pools.compared_items (pool VARCHAR, benchmark VARCHAR, items BIGINT);
