"""ZIP: samples that compress worst together with the earlier picks (arXiv 2407.06645)."""
