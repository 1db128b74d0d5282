"""The vectors of samples: which files have them, and as an array while something is made of them."""

import shutil
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.experiments.keys import Scored, Scoring
from selection_platform.job.growing import finished_shards
from sql.queries import load_sql

SENTENCES = "sentence_embedding"
"""The asset with the vectors of a sentence encoder."""


class Vectors(NamedTuple):
    """Where vectors are.

    Attributes:
        shards: files of a job over a whole pool.
        wanted: ids of the samples that count, which may be a part of them.
    """

    shards: Sequence[Path]
    wanted: Set[str]


def of_base_model(
    profile: Profile, artifacts: ArtifactStore, warehouse: Warehouse, partition: Scored | Scoring
) -> Vectors:
    """The vectors of a pool or sub-pool by a base model."""
    of = {"pool": partition.pool, "model": partition.model, "embedded_pool": profile.whole_pool(partition.pool)}
    wanted = set(warehouse.query(load_sql("30_features/embedded_samples"), of)["sample_id"])
    return Vectors(_base_model_shards(profile, artifacts, partition), wanted)


def of_encoder(profile: Profile, artifacts: ArtifactStore, warehouse: Warehouse, pool: str) -> Vectors:
    """The vectors of a pool or sub-pool by the sentence encoder."""
    wanted = set(warehouse.query(load_sql("30_features/sample_ids"), {"pool": pool})["sample_id"])
    return Vectors(_encoder_shards(profile, artifacts, pool), wanted)


def clustered_vectors(profile: Profile, artifacts: ArtifactStore, warehouse: Warehouse, partition: Scoring) -> Vectors:
    """The vectors of a pool or sub-pool that `k_means` clusters."""
    if profile.k_means.vectors == "encoder":
        return of_encoder(profile, artifacts, warehouse, partition.pool)
    return of_base_model(profile, artifacts, warehouse, partition)


def clustered_shards(profile: Profile, artifacts: ArtifactStore, partition: Scored) -> list[Path]:
    """The files with these vectors."""
    if profile.k_means.vectors == "encoder":
        return _encoder_shards(profile, artifacts, partition.pool)
    return _base_model_shards(profile, artifacts, partition)


def _base_model_shards(profile: Profile, artifacts: ArtifactStore, partition: Scored | Scoring) -> list[Path]:
    """The shards of the shared pass, which have the same content as the warehouse, already as arrays."""
    whole = Scoring(profile.whole_pool(partition.pool), partition.model or "")
    return finished_shards(artifacts.scoring(whole.key) / "answer_likelihood")


def _encoder_shards(profile: Profile, artifacts: ArtifactStore, pool: str) -> list[Path]:
    return finished_shards(artifacts.scoring(profile.whole_pool(pool)) / SENTENCES)


@contextmanager
def as_array(
    vectors: Vectors, scratch: Path, column: str = "embedding"
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """The ids of the samples in order, and their vectors, rows x dimensions, mapped from a file.

    Args:
        vectors: where they are.
        scratch: the folder of that file, deleted before and afterwards. A fixed place, so that what a killed run left
            there, which may be gigabytes, goes now.
        column: of the files.
    """
    from selection_platform.features.sample_embedding import read_embeddings

    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield read_embeddings(vectors.shards, scratch / "samples.npy", column, vectors.wanted)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
