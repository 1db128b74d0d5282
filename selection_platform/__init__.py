"""Which conversations should I fine-tune on, and does that choice beat picking at random?

The library: reading pools, scoring, selecting, training and evaluating. It knows neither Dagster nor DuckDB, but for
its two ways in: `definitions` (what Dagster loads) and `cli` (the command line).
"""
