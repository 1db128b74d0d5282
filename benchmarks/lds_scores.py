"""The scores whose LDS is measured, by the platform's own jobs and SQL. See `benchmarks.lds`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.configuration.encoder_settings import EncoderSettings
from selection_platform.configuration.settings import FineTuningSettings, PassSettings, ScoringSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.errors import PlatformError
from selection_platform.features.answer_likelihood import LikelihoodSpec, score
from selection_platform.features.sample_embedding import EmbeddingSpec, embed, read_embeddings
from selection_platform.features.sentence_embedding import SentenceSpec, embed_sentences
from selection_platform.job.shards import apart_files, shard_files
from selection_platform.methods.less.gradient_influence import InfluenceSpec, measure
from selection_platform.methods.target_similarity import similarity
from selection_platform.models.sentence_encoder import encoder_folder
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from sql.queries import load_sql

POOL, MODEL = "pool", "model"
"""Names for the tables that the SQL reads."""
MAX_LENGTH = 512
SCORING = ScoringSettings(max_length=MAX_LENGTH, tokens_per_batch=8192, logit_rows=2048, samples_per_shard=4096)
ALL = "all targets"
"""The group with every target. The others have one target each, and are named by its id."""
WARM_UP_SHARE = 4
"""Every so many-th sample is in LESS's warm-up. The paper's twentieth would be ten samples."""

Array = NDArray[np.float64]


class Files(NamedTuple):
    """Where things are: the folder for what is made, files of conversations, and the base model.

    Attributes:
        folder: for everything that is made.
        samples: Parquet with position, sample_id, source and messages, by id.
        targets: the same with `target`: each target sample in a group of its own, and in `ALL`.
        base: the base model's folder.
    """

    folder: Path
    samples: Path
    targets: Path
    base: Path


class Scored(NamedTuple):
    """A method's scores. A sample without one has the lowest, as it is never picked.

    Attributes:
        of_targets: targets x samples, both by id.
        of_all: samples: the score for all targets together, as the method's arm would have it.
        dropped: samples without a score.
    """

    of_targets: Array
    of_all: Array
    dropped: int


def all_scores(files: Files, warm_up: FineTuningSettings) -> dict[str, Scored]:
    """Every method's scores, by its name.

    Args:
        files: the pool, the targets and the base model.
        warm_up: the recipe of LESS's warm-up, with an adapter.
    """
    ids = pq.read_table(files.samples)["sample_id"].to_pylist()
    targets = distinct_targets(files)
    names = targets["sample_id"].to_pylist()
    likelihood, influence = _likelihood(files), _influence(files, warm_up)
    database = duckdb.connect()
    database.execute("CREATE SCHEMA features; CREATE SCHEMA pools")
    for table, paths, extra in (
        ("pools.samples", [files.samples], ""),
        ("features.answer_likelihood", shard_files(likelihood), ", 'base' AS reader"),
        ("features.gradient_influence", shard_files(influence), ""),
    ):
        of_files = database.from_parquet(list(map(str, paths))).project(
            f"*, '{POOL}' AS pool, '{MODEL}' AS model{extra}"
        )
        of_files.create(table)
    found = {name: _less(database, direction, ids, names) for name, direction in _DIRECTIONS.items()}
    found |= _of_vectors("rds_plus", apart_files(likelihood), shard_files(_embedded_targets(files, targets)), files)
    found |= _of_vectors("embedding", *_sentences(files, targets), files)
    return found | _without_targets(database, ids, len(names))


_DIRECTIONS = {"less": "adam", "less, published step": "published"}


def distinct_targets(files: Files) -> pa.Table:
    """The target samples, by id."""
    rows = pq.read_table(files.targets)
    return rows.filter(pa.array([group == ALL for group in rows["target"].to_pylist()])).sort_by("sample_id")


def _likelihood(files: Files) -> Path:
    spec = LikelihoodSpec(
        model_folder=str(files.base),
        samples_file=str(files.samples),
        scoring=SCORING,
        dtype="float32",
        text=PAPER,
        weighted_embedding=True,
    )
    score(spec, files.folder / "likelihood")
    return files.folder / "likelihood"


def _influence(files: Files, warm_up: FineTuningSettings) -> Path:
    """A warm-up on a part of the pool, and each sample's influence on each group of targets."""
    rows = pq.read_table(files.samples)
    part = files.folder / "warm_up.parquet"
    pq.write_table(rows.take(list(range(0, len(rows), WARM_UP_SHARE))), part)
    spec = FineTuningSpec(
        base_model_folder=str(files.base),
        train_file=str(part),
        recipe=warm_up,
        text=PAPER,
        seed=0,
        precision="float32",
        keep_epochs=True,
    )
    fine_tune(spec, files.folder / "warm_up")
    pass_over = InfluenceSpec(
        warmup_folder=str(files.folder / "warm_up"),
        samples_file=str(files.samples),
        targets_file=str(files.targets),
        scoring=SCORING,
        directions=("adam", "published"),
        dtype="float32",
        text=PAPER,
    )
    measure(pass_over, files.folder / "influence")
    return files.folder / "influence"


def _less(database: duckdb.DuckDBPyConnection, direction: str, ids: Sequence[str], names: Sequence[str]) -> Scored:
    of = {"pool": POOL, "features_pool": POOL, "model": MODEL, "direction": direction}
    by_group: dict[str, dict[str, float]] = {}
    for target, sample, influence in database.execute(load_sql("36_influence/by_group"), of).fetchall():
        by_group.setdefault(target, {})[sample] = influence
    of_targets = [_in_order(by_group[name], ids)[0] for name in names]
    of_all, dropped = _in_order(by_group[ALL], ids)
    return Scored(np.stack(of_targets), of_all, dropped)


def _in_order(scores: Mapping[str, float | None], ids: Sequence[str]) -> tuple[Array, int]:
    """The scores by id, with the lowest for samples that have none, and how many these are.

    Raises:
        PlatformError: there is a score of another sample.
    """
    if unknown := scores.keys() - set(ids):
        raise PlatformError(f"{len(unknown)} scored samples are not in the pool, such as {min(unknown)}")
    found = np.array([np.nan if (value := scores.get(name)) is None else value for name in ids], dtype=np.float64)
    missing = np.isnan(found)
    return np.where(missing, np.nanmin(found), found), int(missing.sum())


def _embedded_targets(files: Files, targets: pa.Table) -> Path:
    samples = files.folder / "distinct_targets.parquet"
    pq.write_table(targets, samples)
    spec = EmbeddingSpec(
        model_folder=str(files.base),
        samples_file=str(samples),
        scoring=PassSettings(max_length=MAX_LENGTH, tokens_per_batch=8192, samples_per_shard=4096),
        dtype="float32",
        text=PAPER,
        weighted=True,
    )
    embed(spec, files.folder / "target_embedding")
    return files.folder / "target_embedding"


def _sentences(files: Files, targets: pa.Table) -> tuple[list[Path], list[Path]]:
    """Vectors of the samples and of the targets by a sentence encoder."""
    settings, found = EncoderSettings(), []
    target_samples = files.folder / "distinct_targets.parquet"
    pq.write_table(targets, target_samples)
    for name, samples in (("sentences", files.samples), ("target_sentences", target_samples)):
        spec = SentenceSpec(
            encoder_folder=str(encoder_folder(settings)),
            samples_file=str(samples),
            scoring=PassSettings(max_length=settings.max_length, tokens_per_batch=8192, samples_per_shard=4096),
            dtype="float32",
            text=PAPER,
        )
        embed_sentences(spec, files.folder / name)
        found.append(shard_files(files.folder / name))
    return found[0], found[1]


def _of_vectors(method: str, samples: list[Path], targets: list[Path], files: Files) -> dict[str, Scored]:
    """The method as its arm is, by the place when targets take turns, and by the highest cosine.

    For one target both are the cosine with it.
    """
    column = "weighted_embedding" if "weighted_embedding" in pq.read_schema(samples[0]).names else "embedding"
    _, vectors = read_embeddings(samples, files.folder / "samples.npy", column)
    _, wanted = read_embeddings(targets, files.folder / "targets.npy")
    of_targets = np.stack([similarity(vectors, wanted[[place]], 1).highest for place in range(len(wanted))])
    of_targets = of_targets.astype(np.float64)
    together = similarity(vectors, wanted, len(vectors))
    place = np.zeros(len(vectors))
    place[together.picked] = -np.arange(1.0, len(vectors) + 1)
    highest = together.highest.astype(np.float64)
    return {method: Scored(of_targets, place, 0), f"{method}.max": Scored(of_targets, highest, 0)}


def _without_targets(database: duckdb.DuckDBPyConnection, ids: Sequence[str], targets: int) -> dict[str, Scored]:
    """Methods that know no targets: the same scores for each."""
    of_model = {"pool": POOL, "model": MODEL, "published": False}
    statements = {
        "entropy": ("40_scores/entropy", of_model),
        "ifd": ("40_scores/ifd", {**of_model, "reader": "base"}),
        "random": ("40_scores/random", {"pool": POOL, "seeds": [0]}),
    }
    found: dict[str, Scored] = {}
    for method, (statement, values) in statements.items():
        rows = database.execute(load_sql(statement), values).to_arrow_table()
        of_samples = dict(zip(rows["sample_id"].to_pylist(), rows["score"].to_pylist(), strict=True))
        found[method] = _same(of_samples, ids, targets)
    lengths = database.sql("SELECT sample_id, answer_tokens::DOUBLE FROM features.answer_likelihood").fetchall()
    return {**found, "token_length": _same(dict(lengths), ids, targets)}


def _same(scores: Mapping[str, float | None], ids: Sequence[str], targets: int) -> Scored:
    of_all, dropped = _in_order(scores, ids)
    return Scored(np.tile(of_all, (targets, 1)), of_all, dropped)
