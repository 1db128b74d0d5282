"""Jobs: the work that wants a GPU. Each job is a function of a spec and a folder, and can run anywhere.

A job's module needs torch, transformers, peft, numpy and pyarrow (the evaluation also lm-eval). `python -m
selection_platform.job` runs a single job.
"""
