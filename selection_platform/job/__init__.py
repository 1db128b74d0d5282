"""Jobs: the work that wants a GPU, each a function of a spec and a folder that can be run anywhere.

A job's module needs torch, transformers, peft, numpy and pyarrow (the evaluation also lm-eval). `python -m
selection_platform.job` runs one by itself.
"""
