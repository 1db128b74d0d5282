"""DiverseEvol: samples far from those picked before, to a model trained on these (arXiv 2311.08182)."""
