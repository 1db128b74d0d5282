"""SelectIT: samples that models rate highly and with certainty (arXiv 2402.16705)."""
