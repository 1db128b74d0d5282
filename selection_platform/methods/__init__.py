"""Methods with a computation of their own, a folder each. The others are SQL alone: `sql/40_scores`."""
