"""DiverseEvol: samples far from the earlier picks, in the embedding of a model trained on these (arXiv 2311.08182)."""
