"""The version of every computation: raise it whenever the same input would give other numbers.

It is part of the identity of what the computation wrote, and of the code version of each asset that is made by it.
Importable without torch: whoever decides what is due reads it.
"""

from typing import Literal

Computation = Literal[
    "raw_pool", "pool", "benchmark_data", "pretraining", "fine_tuning", "token_count", "answer_likelihood",
    "sample_embedding", "sample_cluster", "gradient_influence", "rating_probability", "diverse_evol", "zip",
    "evaluation", "stock_tasks", "verdict", "report",
]  # fmt: skip

VERSIONS: dict[Computation, int] = {
    "raw_pool": 2,
    "pool": 2,
    "benchmark_data": 1,
    "pretraining": 1,
    "fine_tuning": 1,
    "token_count": 1,
    "answer_likelihood": 2,
    "sample_embedding": 1,
    "sample_cluster": 1,
    "gradient_influence": 2,
    "rating_probability": 1,
    "diverse_evol": 1,
    "zip": 1,
    "evaluation": 1,
    # Beside it, where a benchmark is a task of lm-eval's own.
    "stock_tasks": 1,
    "verdict": 2,
    "report": 2,
}
