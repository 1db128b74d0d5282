"""Every computation: its version, and where it is a job, the module that has it.

The version is part of the identity of what the computation wrote, and of the code version of each asset that is made by
it. Importable without torch: whoever decides what is due reads it.
"""

from typing import NamedTuple


class Computation(NamedTuple):
    """One computation of the library.

    Attributes:
        version: raise it whenever the same input would give other numbers.
        job: where the computation is a job, the module below `selection_platform` that has it, by its name in capitals.
    """

    version: int
    job: str | None = None


COMPUTATIONS = {
    "raw_pool": Computation(2),
    "pool": Computation(2),
    "benchmark_data": Computation(1),
    "pretraining": Computation(1, job="training.pretraining"),
    "fine_tuning": Computation(1, job="training.fine_tuning"),
    "token_count": Computation(1),
    "answer_likelihood": Computation(2, job="features.answer_likelihood"),
    "sample_embedding": Computation(1, job="features.sample_embedding"),
    "sample_cluster": Computation(1),
    "gradient_influence": Computation(2, job="methods.less.gradient_influence"),
    "rating_probability": Computation(1, job="methods.selectit.rating_probability"),
    "diverse_evol": Computation(1, job="methods.diverse_evol.selection"),
    "zip": Computation(1),
    "evaluation": Computation(1, job="evaluation.harness"),
    # Beside it, where a benchmark is a task of lm-eval's own.
    "stock_tasks": Computation(1),
    # What is made of conversations by chat templates. The paper's text is known by what it is.
    "rendering": Computation(1),
    "verdict": Computation(3),
    "report": Computation(4),
}
VERSIONS = {name: each.version for name, each in COMPUTATIONS.items()}
