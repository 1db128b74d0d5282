"""Benchmarks and the held-out loss."""
