"""Paths of files that are too big for the warehouse: raw pools, models, and the output of jobs."""

from pathlib import Path

import dagster as dg
from pydantic import Field


class ArtifactStore(dg.ConfigurableResource):
    """One folder per asset, and in it one per partition.

    Partition keys consist of names without `..`, so a path never leaves the folder.
    """

    folder: str = Field(description="Folder that holds all artifacts.")

    def raw_pool(self, pool: str) -> Path:
        """Unchanged rows of a pool's source."""
        return self._path("raw_pool", pool)

    def pool(self, pool: str) -> Path:
        """Conversations of a pool, on their way into the warehouse."""
        return self._path("pool", pool)

    def contamination(self, pool: str) -> Path:
        """Samples of a pool that hold benchmark items, on their way into the warehouse."""
        return self._path("contamination", pool)

    def benchmark_data(self) -> Path:
        """Items of the benchmarks."""
        return self._path("benchmark_data")

    def task_dataset(self, benchmark: str) -> Path:
        """Datasets of the hub that a benchmark's tasks read."""
        return self._path("task_dataset", benchmark)

    def base_model(self, model: str) -> Path:
        """Weights and tokenizer of a base model."""
        return self._path("base_model", model)

    def target_samples(self, targets: str) -> Path:
        """Samples of a target set beside a pool, on their way into the warehouse."""
        return self._path("target_samples", targets)

    def scoring(self, scoring: str) -> Path:
        """Inputs and outputs of the scoring passes of a pool with a model."""
        return self._path("scoring", scoring)

    def pre_experience_checkpoint(self, scoring: str) -> Path:
        """Weights and tokenizer of the model that IFD scores with after its pre-experience."""
        return self._path("pre_experience_checkpoint", scoring)

    def warmup_checkpoint(self, scoring: str, name: str = "warmup_checkpoint") -> Path:
        """Adapters and Adam's moments after each epoch of LESS's warm-up. `name` is the name of the asset."""
        return self._path(name, scoring)

    def picks(self, method: str, scored: str) -> Path:
        """Picks of a greedy method from a pool (with a model), and the work of its rounds."""
        return self._path("picks", method, scored)

    def held_out(self, pool: str) -> Path:
        """File of a pool's held-out conversations, on their way to evaluation."""
        return self._path("held_out", f"{pool}.parquet")

    def checkpoint(self, experiment: str) -> Path:
        """Weights and tokenizer of an experiment's fine-tuned model."""
        return self._path("checkpoint", experiment)

    def benchmark_result(self, experiment: str) -> Path:
        """Results of an experiment's benchmarks."""
        return self._path("benchmark_result", experiment)

    def report(self) -> Path:
        """The report's page, and its figures and tables."""
        return self._path("report")

    def _path(self, *parts: str) -> Path:
        return Path(self.folder, *parts)
