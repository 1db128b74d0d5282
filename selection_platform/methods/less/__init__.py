"""LESS: samples whose gradients point in the same direction as those of the targets (arXiv 2402.04333)."""
