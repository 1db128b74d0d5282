"""SelectIT: samples that models rate highly and surely (arXiv 2402.16705)."""
