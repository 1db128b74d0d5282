-- How many samples each two methods both select, each with its first seed. Every pair stands once.
CREATE TABLE reports.selection_overlap (
    pool VARCHAR,
    model VARCHAR,
    budget INTEGER, -- samples that each selects
    one VARCHAR, -- method
    other VARCHAR,
    shared INTEGER,
    by_chance DOUBLE -- that two uniform draws would share on average
);
