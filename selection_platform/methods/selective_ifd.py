"""S-IFD: IFD from the answer tokens alone whose likelihood the prompt changes most.

It is the selective half of T-SHIRT (arXiv 2506.01317), without its passes over noisy copies of each sample. With d the
NLL of an answer token given the prompt minus that without it, a token counts if |d| is above the median over the tokens
of all samples, and the score is exp(mean of d over the tokens that count).
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

COLUMN = "prompt_effect"
ROWS_PER_READ = 4096
_LOW_BITS, _VALUES = np.uint32(16), 1 << 16


@dataclass(frozen=True)
class _Block:
    """Some samples and their answer tokens.

    Attributes:
        sample_ids: the samples.
        sample: int64, of each token, the index of its sample.
        effect: float32, of each token, what the prompt adds to its NLL, in nats.
    """

    sample_ids: list[str]
    sample: NDArray[np.int64]
    effect: NDArray[np.float32]


def write_selective_ifd(files: Sequence[Path], wanted: Container[str], into: Path) -> float:
    """Write `sample_id`, `selective_ifd` (float64; null if no token counts) and `counted_tokens` (int32).

    Args:
        files: Parquet files with `sample_id` and `prompt_effect` (list of float32, or null).
        wanted: the samples to score; others in the files are passed over.
        into: Parquet file.

    Returns:
        The threshold: the median of |d| over all tokens, of two middle ones their mean.

    Raises:
        PlatformError: there is no token.
    """
    threshold = _median(files, wanted)
    tables = [_scored(block, threshold) for block in _blocks(files, wanted)]
    with whole_file(into) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary)
    return threshold


def _scored(block: _Block, threshold: float) -> pa.Table:
    counts = np.abs(block.effect) > threshold
    rows, size = block.sample[counts], len(block.sample_ids)
    total = np.bincount(rows, block.effect[counts], minlength=size)
    tokens = np.bincount(rows, minlength=size)
    score = np.exp(np.divide(total, tokens, out=np.zeros(size), where=tokens > 0))
    column = pa.array(score, mask=tokens == 0)
    names = pa.array(block.sample_ids, pa.string())
    return pa.table({"sample_id": names, "selective_ifd": column, "counted_tokens": tokens.astype(np.int32)})


def _blocks(files: Sequence[Path], wanted: Container[str]) -> Iterator[_Block]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_PER_READ, columns=["sample_id", COLUMN]):
                kept = batch.filter(pa.array([name in wanted for name in batch.column("sample_id").to_pylist()]))
                lists: Any = kept.column(COLUMN)
                lengths = lists.value_lengths().fill_null(0).to_numpy()
                sample = np.repeat(np.arange(len(lengths)), lengths)
                yield _Block(kept.column("sample_id").to_pylist(), sample, lists.flatten().to_numpy())


def _median(files: Sequence[Path], wanted: Container[str]) -> float:
    """The exact median of |d|, in two passes over the files and without a copy of all tokens."""
    counts = np.zeros(_VALUES, dtype=np.int64)
    for bits in _all_bits(files, wanted):
        counts += np.bincount(bits >> _LOW_BITS, minlength=_VALUES)
    tokens = int(counts.sum())
    if tokens == 0:
        raise PlatformError("s_ifd: no token of any answer fits the scoring window; raise scoring.max_length")
    ranks = (tokens - 1) // 2, tokens // 2
    below = np.cumsum(counts)
    high = [int(np.searchsorted(below, rank, side="right")) for rank in ranks]
    low = {value: np.zeros(_VALUES, dtype=np.int64) for value in high}
    for bits in _all_bits(files, wanted):
        for value, found in low.items():
            inside = bits[bits >> _LOW_BITS == value]
            found += np.bincount(inside & np.uint32(_VALUES - 1), minlength=_VALUES)
    middle = []
    for rank, value in zip(ranks, high, strict=True):
        left = rank - (int(below[value - 1]) if value else 0)
        place = int(np.searchsorted(np.cumsum(low[value]), left, side="right"))
        middle.append(float(np.array([value * _VALUES + place], dtype=np.uint32).view(np.float32)[0]))
    return (middle[0] + middle[1]) / 2


def _all_bits(files: Sequence[Path], wanted: Container[str]) -> Iterator[NDArray[np.uint32]]:
    """The bits of each |d|: those of floats from 0 on are in their order."""
    for block in _blocks(files, wanted):
        yield np.abs(block.effect).view(np.uint32)
