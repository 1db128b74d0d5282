"""Methods with their own computation, each in a folder. Other methods are only SQL: `sql/40_scores`."""
