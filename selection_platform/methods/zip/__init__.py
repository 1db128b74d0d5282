"""ZIP: samples that compress worst together with those picked before (arXiv 2407.06645)."""
