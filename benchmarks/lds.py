"""Do a method's scores predict what training on a part of the pool does? The linear datamodelling score (LDS).

Run by hand; it may be stopped, and goes on from the files in its folder:

    python -m benchmarks.lds --folder FOLDER --halves 100 --seeds 2

A small model is fine-tuned on random halves of a pool, and its loss is measured on target samples that are in no half.
A method's LDS for a target is the Spearman correlation, over the halves, between the sum of its scores of the samples
in a half and minus the loss (Park et al. 2023, arXiv 2303.14186). Its interval is a bootstrap over halves, and over
targets where it is their mean. The noise ceiling follows from the correlation r of two training seeds' losses on the
same halves: scores that knew each half's expected loss would reach about the root of r with one seed, and that of
k r / (1 + (k - 1) r) with the mean of k (Spearman and Brown).

Pool, model, scores and trainings come from the platform's own functions. Methods that know no targets have the same
scores for each. A sample without a score counts as the lowest one, as it is never picked; these are counted.
"""

import argparse
import json
import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.lds_scores import ALL, MAX_LENGTH, SCORING, Array, Files, Scored, all_scores, distinct_targets
from selection_platform.configuration.pool_settings import PoolSettings, SourceSettings
from selection_platform.configuration.settings import (
    FineTuningSettings,
    LoraSettings,
    PretrainingSettings,
)
from selection_platform.configuration.text_settings import PAPER
from selection_platform.errors import PlatformError
from selection_platform.evaluation.held_out_loss import METRIC, held_out_loss
from selection_platform.job.folder import whole_file
from selection_platform.job.progress import progress
from selection_platform.models.loading import load_model
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.shards import shard_paths
from selection_platform.text.conversation import to_messages
from selection_platform.text.tables import markdown_table
from selection_platform.text.template_choice import make_renderer
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from selection_platform.training.pretraining import PretrainingSpec, pretrain

DRAWS, SEED = 1000, 0
"""Draws of a bootstrap; what all draws come from."""


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for everything that is made")
    parser.add_argument("--samples", type=int, default=200, help="of the pool")
    parser.add_argument("--targets", type=int, default=32, help="held-out samples whose loss is measured")
    parser.add_argument("--halves", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2, help="trainings on each half")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--lora", action="store_true", help="train an adapter on the halves, and not all weights")
    return parser.parse_args()


def prepare(options: argparse.Namespace) -> Files:
    """The pool, the targets and the base model.

    Raises:
        PlatformError: the folder has another run.
    """
    folder: Path = options.folder
    asked = {name: value for name, value in vars(options).items() if name not in ("folder", "halves", "seeds")}
    setup = folder / "setup.json"
    if setup.exists() and json.loads(setup.read_text()) != asked:
        raise PlatformError(f"{setup}: is of a run with other options; name another --folder, or give the same options")
    with whole_file(setup) as temporary:
        temporary.write_text(json.dumps(asked))
    settings = PoolSettings(
        source=SourceSettings(package="instruct-mix"),
        max_characters=600,
        limit=options.samples,
        held_out=0.05,
        base_model=0.5,
    )
    write_raw_pool(settings, folder / "raw_pool")
    write_pool(settings, folder / "raw_pool", [], folder / "pool")
    rows = pa.concat_tables([pq.read_table(path) for path in shard_paths(folder / "pool")]).sort_by("sample_id")
    files = Files(folder, folder / "samples.parquet", folder / "targets.parquet", folder / "base")
    _write(files.samples, _of(rows, "pool"))
    targets = _of(rows, "held_out").slice(0, options.targets)
    both = [targets.append_column("target", targets["sample_id"]), _constant(targets, "target", ALL)]
    _write(files.targets, pa.concat_tables(both))
    _write(folder / "pretraining.parquet", _of(rows, "base_model"))
    sizes = PretrainingSettings(
        steps=400, batch=2, vocab_size=1024, hidden_size=64, intermediate_size=176, layers=2, context=MAX_LENGTH
    )
    pretrain(
        PretrainingSpec(train_file=str(folder / "pretraining.parquet"), pretraining=sizes, precision="float32"),
        files.base,
    )
    return files


def _of(rows: pa.Table, split: str) -> pa.Table:
    of_split = pa.array([name == split for name in rows["split"].to_pylist()])
    found = rows.filter(of_split).select(["sample_id", "messages", "source"])
    return found.append_column("position", pa.array(range(len(found))))


def _constant(rows: pa.Table, name: str, value: str) -> pa.Table:
    return rows.append_column(name, pa.array([value] * len(rows)))


def _write(path: Path, rows: pa.Table) -> None:
    with whole_file(path) as temporary:
        pq.write_table(rows, temporary)


def recipe(options: argparse.Namespace, *, adapter: bool) -> FineTuningSettings:
    """The recipe of the halves. That of LESS's warm-up differs in nothing but the adapter."""
    return FineTuningSettings(
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        schedule="linear",
        warmup_ratio=0.03,
        weight_decay=0.0,
        global_batch=8,
        batch_per_device=8,
        max_length=MAX_LENGTH,
        lora=LoraSettings(rank=8, alpha=32) if adapter else None,
    )


def halves_of(count: int, samples: int) -> NDArray[np.bool_]:
    """Random halves, halves x samples; more of them leave the first ones as they are."""
    generator = np.random.default_rng(SEED)
    return np.stack([np.isin(np.arange(samples), generator.permutation(samples)[: samples // 2]) for _ in range(count)])


def losses(options: argparse.Namespace, files: Files) -> Array:
    """Bits per byte of each target after each training: halves x seeds x targets, targets by id."""
    samples, targets = pq.read_table(files.samples), distinct_targets(files)
    chosen = halves_of(options.halves, len(samples))
    found = np.zeros((options.halves, options.seeds, len(targets)))
    with progress("trainings", options.halves * options.seeds, "trainings") as done:
        # All seeds of a half before the next half, so that a part of a run is a run with fewer halves.
        for number, half in enumerate(chosen):
            for seed in range(options.seeds):
                kept = files.folder / "losses" / f"{number:04d}-s{seed}.parquet"
                if not kept.exists():
                    _write(kept, trained_loss(options, files, samples.filter(pa.array(half)), seed, targets))
                found[number, seed] = pq.read_table(kept).sort_by("sample_id")[METRIC].to_numpy()
                done.advance()
    return found


def trained_loss(options: argparse.Namespace, files: Files, half: pa.Table, seed: int, targets: pa.Table) -> pa.Table:
    """Train on a half, and measure the loss of each target."""
    folder = files.folder / "training"
    shutil.rmtree(folder, ignore_errors=True)
    _write(folder / "half.parquet", half)
    spec = FineTuningSpec(
        base_model_folder=str(files.base),
        train_file=str(folder / "half.parquet"),
        recipe=recipe(options, adapter=options.lora),
        text=PAPER,
        seed=seed,
        precision="float32",
    )
    fine_tune(spec, folder / "model")
    return measured(folder / "model", targets)


def measured(model_folder: Path, targets: pa.Table) -> pa.Table:
    """The held-out loss of each target: sample_id, bits, bytes, bits_per_byte."""
    model, tokenizer = load_model(model_folder)
    conversations = [(row["sample_id"], to_messages(row["messages"])) for row in targets.to_pylist()]
    loss = held_out_loss(model, make_renderer(tokenizer, PAPER), conversations, SCORING.tokens_per_batch, MAX_LENGTH)
    if loss.left_out or loss.cut:
        raise PlatformError(f"{loss.left_out + loss.cut} of the targets do not fit {MAX_LENGTH} tokens; take others")
    return loss.items


def spearman(one: Array, other: Array) -> Array:
    """Spearman's correlation along the last axis; 0 where one side has only one value, which says nothing."""
    ranks = [rankdata(each, axis=-1) for each in np.broadcast_arrays(one, other)]
    first, second = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    norm = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return np.divide((first * second).sum(axis=-1), norm, out=np.zeros_like(norm), where=norm > 0)


class Estimate(NamedTuple):
    """A correlation with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def correlation(one: Array, other: Array) -> Estimate:
    """The mean over targets of Spearman's correlation over halves.

    Args:
        one: targets x halves.
        other: the same.
    """
    generator = np.random.default_rng(SEED)
    targets, halves = one.shape
    draws = []
    for _ in range(DRAWS):
        rows, columns = generator.integers(targets, size=targets), generator.integers(halves, size=halves)
        draws.append(spearman(one[rows][:, columns], other[rows][:, columns]).mean())
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(float(spearman(one, other).mean()), float(low), float(high))


def reachable(seeds_agree: float, seeds: int) -> float:
    """The correlation of the expected loss with the mean loss of so many seeds, if two seeds correlate like that.

    Seeds that disagree share nothing: 0.
    """
    shared = max(0.0, seeds_agree)
    return (seeds * shared / (1 + (seeds - 1) * shared)) ** 0.5


def table(found: Array, chosen: NDArray[np.bool_], scores: dict[str, Scored]) -> str:
    """The LDS of each method, as Markdown.

    Args:
        found: bits per byte, halves x seeds x targets.
        chosen: halves x samples.
        scores: of each method.
    """
    gain, part = -found.mean(axis=1).T, chosen.astype(np.float64)
    rows = [
        [
            name,
            str(correlation(scored.of_targets @ part.T, gain)),
            str(correlation((part @ scored.of_all)[None], gain.mean(axis=0)[None])),
            str(scored.dropped),
        ]
        for name, scored in scores.items()
    ]
    if found.shape[1] > 1:
        one, other = -found[:, 0].T, -found[:, 1].T
        together = correlation(one.mean(axis=0)[None], other.mean(axis=0)[None])
        alone, count = correlation(one, other), found.shape[1]
        rows.append(["seed 0 with seed 1", str(alone), str(together), ""])
        best = [f"{reachable(each.value, count):.2f}" for each in (alone, together)]
        rows.append(["scores that knew the expected loss, about", *best, ""])
    header = ["method", "LDS of one target, mean", "LDS of the targets' mean", "samples without a score"]
    return markdown_table(header, rows)


def main() -> None:
    """Make what is missing, and print the table."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = arguments()
    files = prepare(options)
    warm_up = recipe(options, adapter=True)
    scores = all_scores(files, warm_up)
    found = losses(options, files)
    samples = pq.read_metadata(files.samples).num_rows
    before = measured(files.base, distinct_targets(files))[METRIC].to_numpy().mean()
    print(f"{samples} samples, {found.shape[2]} targets, {found.shape[0]} halves, {found.shape[1]} seeds; ", end="")
    print(f"bits per byte, mean over targets: {before:.3f} before, {found.mean():.3f} after", end="")
    print(f", standard deviation over halves {found.mean(axis=(1, 2)).std(ddof=1):.4f}")
    print(table(found, halves_of(options.halves, samples), scores))


if __name__ == "__main__":
    main()
