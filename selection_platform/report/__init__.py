"""The report: one page that says whether the choice beats picking at random, with its figures and tables as files."""
