-- Whether any conversation has an answer that is not trained on.
SELECT
    EXISTS (FROM pools.samples WHERE untrained IS NOT NULL)
    OR EXISTS (FROM pools.held_out WHERE untrained IS NOT NULL) AS found
