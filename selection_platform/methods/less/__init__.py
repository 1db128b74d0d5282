"""LESS: samples whose gradients point where those of the targets do (arXiv 2402.04333)."""
