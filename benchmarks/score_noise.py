"""How much of IFD is noise of the number type, or of which samples share a batch, and how many picks that changes.

    python -m benchmarks.score_noise --model-folder MODEL --pool instruct-mix --rows 300

Scores rows of a packaged pool in float32, and in bfloat16: with logits rounded to bfloat16, as models give them; with
logits in float32, as scoring has them; and with these, in smaller batches. Noise is the standard deviation of the
difference from float32 (for batches: of the two), and is given as a part of the scores' own standard deviation.

Of the best tenth, how many did change, and how many would by `changed_picks`, by which the report works it out where a
part of a pool is scored twice.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.configuration.settings import ScoringSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.features.answer_likelihood import LikelihoodSpec, score
from selection_platform.job.shards import shard_files
from selection_platform.models import forward_pass
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.report.rescored import HIGHEST, changed_picks
from sql.queries import load_sql

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """What a second scoring changes.

    Attributes:
        share: standard deviation of the difference / that of the scores.
        changed: how many of the best tenth are others.
        expected: how many are expected to be.
    """

    share: float
    changed: int
    expected: float


def compared(reference: Scores, other: Scores) -> Noise:
    """The noise between two scorings of the same rows; NaN for a row without IFD. Above 1 it is no score."""
    there, both = reference[np.isfinite(reference)], np.isfinite(reference) & np.isfinite(other)
    scored = there[there <= HIGHEST]
    picks = len(scored) // 10
    one, two, spread = reference[both], other[both], float(np.std(scored))
    first, second = (
        set(np.argsort(np.where(each <= HIGHEST, -each, np.inf), kind="stable")[:picks].tolist())
        for each in (reference, other)
    )
    return Noise(
        float(np.std((two - one)[one <= HIGHEST])) / spread,
        picks - len(first & second),
        changed_picks(there, one, two, picks, HIGHEST),
    )


def save_rows(pool: str, rows: int, max_characters: int, folder: Path) -> Path:
    """The first rows of a packaged pool, by sample id, which is a fair draw: ids are hashes."""
    settings = PoolSettings.model_validate(
        {"source": {"package": pool}, "on_bad_row": "skip", "limit": rows, "max_characters": max_characters}
    )
    write_raw_pool(settings, folder / "raw")
    write_pool(settings, folder / "raw", [], folder / "pool")
    table = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "pool").glob("part-*.parquet")))
    pq.write_table(table.select(["sample_id", "messages"]).sort_by("sample_id").slice(0, rows), folder / "rows.parquet")
    return folder / "rows.parquet"


@contextmanager
def rounded_logits() -> Iterator[None]:
    """Within the block, logits have the model's own number type."""
    kept = forward_pass.float32_logits
    forward_pass.float32_logits = lambda _: nullcontext()
    try:
        yield
    finally:
        forward_pass.float32_logits = kept


def ifd_of(options: argparse.Namespace, samples: Path, folder: Path, dtype: str, tokens_per_batch: int) -> Scores:
    """IFD of each row, in the order of ids; NaN for what it drops."""
    spec = LikelihoodSpec(
        model_folder=str(options.model_folder),
        samples_file=str(samples),
        scoring=ScoringSettings(max_length=options.max_length, tokens_per_batch=tokens_per_batch, logit_rows=1024),
        dtype=dtype,
        text=PAPER,
    )
    score(spec, folder)
    return ifd_scores(shard_files(folder))


def ifd_scores(shards: Sequence[Path]) -> Scores:
    """IFD by the report's own statement, from the files of `answer_likelihood`, in the order of ids; NaN for none."""
    of = {"pool": "pool", "model": "model"}
    with duckdb.connect() as database:
        rows = database.from_parquet(list(map(str, shards))).project(
            ", ".join(["*", *(f"'{value}' AS {name}" for name, value in {**of, "reader": "base"}.items())])
        )
        database.execute("CREATE SCHEMA features")
        rows.create("features.answer_likelihood")
        found = database.execute(load_sql("90_reports/ifd_twice"), {**of, "again": ""}).to_arrow_table()
    return found["first"].fill_null(np.nan).to_numpy()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-folder", type=Path, required=True)
    parser.add_argument("--pool", default="instruct-mix")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument(
        "--max-characters", type=int, default=100_000, help="of a conversation; longer ones are left out"
    )
    options = parser.parse_args()
    large, small = 8 * options.max_length, options.max_length
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = save_rows(options.pool, options.rows, options.max_characters, folder)
        single = ifd_of(options, samples, folder / "float32", "float32", large)
        scored = single[single <= HIGHEST]
        count = len(scored)
        if count < 10:
            parser.error(f"--rows: only {count} of {len(single)} rows have a score, and ten are needed; take more")
        single_small = ifd_of(options, samples, folder / "float32 small", "float32", small)
        with rounded_logits():
            rounded = ifd_of(options, samples, folder / "rounded", "bfloat16", large)
        half = ifd_of(options, samples, folder / "bfloat16", "bfloat16", large)
        half_small = ifd_of(options, samples, folder / "bfloat16 small", "bfloat16", small)
    print(f"{options.pool}: {count} of {len(single)} rows have a score; spread {np.std(scored):.4f}\n")
    print("| compared | noise / spread | of the best tenth, changed | expected |")
    print("|---|--:|--:|--:|")
    for label, one, other in (
        ("float32, two batchings", single, single_small),
        ("bfloat16, logits rounded", single, rounded),
        ("bfloat16, logits in float32", single, half),
        ("bfloat16, logits in float32, two batchings", half, half_small),
    ):
        found = compared(one, other)
        numbers = f"{found.share:.5f} | {found.changed} | {found.expected:.2f}"
        print(f"| {label} | {numbers} |")


if __name__ == "__main__":
    main()
