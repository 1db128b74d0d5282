"""Every computation with its version and, if it is a job, its module.

The version is part of the identity of the computation's results, and of the code version of each asset that uses it.
This module imports no torch, because `status` reads it.
"""

from typing import NamedTuple


class Computation(NamedTuple):
    """One computation of the library.

    Attributes:
        version: raise it whenever the same input would give other numbers.
        job: if the computation is a job, its module below `selection_platform`. There it has its name in capitals.
    """

    version: int
    job: str | None = None


COMPUTATIONS = {
    "raw_pool": Computation(2),
    "pool": Computation(2),
    "contamination": Computation(1),
    "benchmark_data": Computation(1),
    "task_dataset": Computation(1),
    "pretraining": Computation(1, job="training.pretraining"),
    "fine_tuning": Computation(1, job="training.fine_tuning"),
    "token_count": Computation(1),
    "answer_likelihood": Computation(2, job="features.answer_likelihood"),
    "sample_embedding": Computation(1, job="features.sample_embedding"),
    "sentence_embedding": Computation(1, job="features.sentence_embedding"),
    "sample_cluster": Computation(1),
    "gradient_influence": Computation(2, job="methods.less.gradient_influence"),
    "rating_probability": Computation(1, job="methods.selectit.rating_probability"),
    "diverse_evol": Computation(2, job="methods.diverse_evol.selection"),
    "zip": Computation(1),
    "given_scores": Computation(1),
    "target_samples": Computation(1),
    "round_robin": Computation(1),
    # The position-weighted means that the shared pass keeps beside its shards.
    "weighted_embedding": Computation(1),
    # What the prompt does to each answer token, which it keeps there too.
    "prompt_effect": Computation(1),
    "s_ifd": Computation(1),
    "target_similarity": Computation(1),
    "whitening": Computation(1),
    "coverage": Computation(1),
    "facility_location": Computation(1),
    "k_center": Computation(1),
    "evaluation": Computation(2, job="evaluation.harness"),
    # Counts in addition for benchmarks that are lm-eval's own tasks.
    "stock_tasks": Computation(1),
    # Counts in addition where vLLM answers the prompts.
    "vllm_engine": Computation(1),
    # Counts in addition where code that models wrote is run.
    "generated_code": Computation(1),
    # Counts in addition where logits are computed and the dtype is not float32.
    "half_precision_logits": Computation(1),
    # How chat templates turn conversations into tokens. The paper's text never changes.
    "rendering": Computation(1),
    "experiment_costs": Computation(1),
    "verdict": Computation(3),
    "report": Computation(7),
}
VERSIONS = {name: computation.version for name, computation in COMPUTATIONS.items()}


def logits_in(dtype: str) -> dict[str, int]:
    """What a result that comes from logits is known by in addition, for the number type of the weights.

    Nothing in float32, so that what was made before this version existed stays.
    """
    name = "half_precision_logits"
    return {} if dtype == "float32" else {name: VERSIONS[name]}
