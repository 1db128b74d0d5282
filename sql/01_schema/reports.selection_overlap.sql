-- How many samples two methods both select, each with its first seed. There is one row per pair.
CREATE TABLE reports.selection_overlap (
    pool VARCHAR,
    model VARCHAR,
    budget INTEGER, -- samples that each method selects
    one VARCHAR, -- method
    other VARCHAR,
    shared INTEGER,
    by_chance DOUBLE -- samples that two uniform draws would share on average
);
