"""The plan of a scoring pass: which tokens of which samples are scored, and in which order.

Token ids of a million samples do not fit in memory beside a model, so they are in a file; the plan has only lengths.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.errors import PlatformError
from selection_platform.features.token_count import Boundary, cue_length, read_last_answers, sample_batches
from selection_platform.job.claims import Claims
from selection_platform.job.folder import whole_file
from selection_platform.job.processes import gathered, is_first, wait_for_all
from selection_platform.job.progress import progress
from selection_platform.models.batching import shard_slices
from selection_platform.text.cuts import ScoringCut
from selection_platform.text.cutting import cut_prompt, kept_in_scoring
from selection_platform.text.renderer import Renderer
from selection_platform.text.rendering import LastAnswer

_IDS_FILE = "tokens.int32"
_LENGTHS_FILE = "tokens.parquet"
_PARTS = ".tokens"
"""Folder of what each process has tokenised, until it is put together."""
_LENGTHS = pa.schema(
    [
        ("sample_id", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("answer_tokens", pa.int32()),
        ("direct_answer_tokens", pa.int32()),
        ("prompt_cut", pa.int32()),
        ("answer_cut", pa.int32()),
        ("offset", pa.int64()),
    ]
)


@dataclass(frozen=True)
class TokenPlan:
    """Samples in the order of scoring: longest first, ties by sample_id. Arrays have one entry per sample.

    Attributes:
        sample_id: string.
        prompt_tokens: int32, tokens of the prompt that are scored.
        answer_tokens: int32, tokens of the answer that are scored, with its end-of-sequence token if the plan has it.
        direct_answer_tokens: int32, tokens of the answer that are scored in the direct pass; the same number, unless
        the
            published script's border is used.
        prompt_cut: int32, tokens of the prompt that do not fit the window.
        answer_cut: int32, the same for the answer, with its end-of-sequence token if the plan has it.
        offset: int64, where the sample's tokens start in `ids`: first those of the joint pass, then of the direct pass.
        ids: int32, the tokens of all samples, mapped from a file.
        cue_length: number of tokens before the answer in the direct pass.
    """

    sample_id: pa.Array
    prompt_tokens: np.ndarray
    answer_tokens: np.ndarray
    direct_answer_tokens: np.ndarray
    prompt_cut: np.ndarray
    answer_cut: np.ndarray
    offset: np.ndarray
    ids: np.ndarray
    cue_length: int

    @property
    def truncated(self) -> np.ndarray:
        """Whether each sample's answer was cut, or its end-of-sequence token."""
        return self.answer_cut > 0

    @property
    def joint_lengths(self) -> np.ndarray:
        """Tokens of each sample in the pass over prompt and answer."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def direct_lengths(self) -> np.ndarray:
        """Tokens of each sample in the pass over cue and answer; 0 if no answer token is scored."""
        return np.where(self.direct_answer_tokens > 0, self.direct_answer_tokens + self.cue_length, 0)

    def joint(self, index: int) -> np.ndarray:
        """Prompt and answer tokens of one sample."""
        start = self.offset[index]
        return self.ids[start : start + self.prompt_tokens[index] + self.answer_tokens[index]]

    def direct(self, index: int) -> np.ndarray:
        """Cue and answer tokens of one sample."""
        start = self.offset[index] + self.joint_lengths[index]
        return self.ids[start : start + self.direct_lengths[index]]

    def shards(self, samples_per_shard: int) -> Iterator["TokenPlan"]:
        """The plan, split into runs of samples with about as many tokens each: see `shard_slices`."""
        for part in shard_slices(self.joint_lengths, samples_per_shard):
            yield TokenPlan(
                self.sample_id[part],
                self.prompt_tokens[part],
                self.answer_tokens[part],
                self.direct_answer_tokens[part],
                self.prompt_cut[part],
                self.answer_cut[part],
                self.offset[part],
                self.ids,
                self.cue_length,
            )


def make_plan(
    samples_file: Path,
    renderer: Renderer,
    max_length: int,
    cut: ScoringCut,
    folder: Path,
    boundary: Boundary = "pieces",
    *,
    with_end: bool = False,
) -> TokenPlan:
    """Tokenise the samples into files in `folder`, or read those of an earlier run.

    Every process of a job must call this: they share the work.

    Args:
        samples_file: Parquet with `sample_id` and `messages`.
        renderer: the model's renderer. Its beginning-of-sequence token is never cut.
        max_length: most tokens of prompt and answer.
        cut: where a longer sample is cut (`kept_in_scoring`). The cue before an answer is kept.
        folder: the folder of this job.
        boundary: how prompt and answer are separated.
        with_end: whether the end of the turn follows the answer, as in training. It is cut first, so an answer that
        does
            not fit has none; an empty answer is only this end. The direct pass never has it.

    Raises:
        PlatformError: there are no samples, or their ids repeat.
    """
    end = renderer.end if with_end else []
    lengths_file = folder / _LENGTHS_FILE
    # An unfinished job of an earlier version wrote other columns.
    is_made = lengths_file.exists() and pq.read_schema(lengths_file).equals(_LENGTHS)
    # As the first saw it: a slow process might find what the others have written since.
    if not gathered(is_made)[0]:
        window = _Window(max_length, cut, len(renderer.bos))
        _tokenize(samples_file, renderer, window, folder, boundary, end)
    table = _in_order(pq.read_table(lengths_file))
    return TokenPlan(
        **{name: table[name].to_numpy() for name in _LENGTHS.names if name != "sample_id"},
        sample_id=table["sample_id"].combine_chunks(),
        ids=np.memmap(folder / _IDS_FILE, dtype=np.int32, mode="r"),
        cue_length=cue_length(renderer, boundary),
    )


def remove_plan(folder: Path) -> None:
    """Remove the files of `make_plan`, which are large and can be written again."""
    for name in (_LENGTHS_FILE, _IDS_FILE):
        (folder / name).unlink(missing_ok=True)
    # Left by a process that was killed after it had put them together.
    shutil.rmtree(folder / _PARTS, ignore_errors=True)


def _in_order(table: pa.Table) -> pa.Table:
    """The rows, longest first, ties by sample_id."""
    tokens = table["prompt_tokens"].to_numpy() + table["answer_tokens"].to_numpy()
    table = table.append_column("tokens", pa.array(tokens))
    return table.sort_by([("tokens", "descending"), ("sample_id", "ascending")])


class _Window(NamedTuple):
    """The window, as in the arguments of `make_plan`."""

    max_length: int
    cut: ScoringCut
    keep_first: int


def _tokenize(
    samples_file: Path,
    renderer: Renderer,
    window: _Window,
    folder: Path,
    boundary: Boundary,
    end: list[int],
) -> None:
    """Write the scored tokens of all samples, in the file's order, and a table of `_LENGTHS` with their places.

    A process that is free takes the next part of the samples. The first puts the parts together at the end.

    Args:
        samples_file: as in `make_plan`, and so are the others but the last.
        renderer: the model's.
        window: how much is kept.
        folder: of the job.
        boundary: how prompt and answer are separated.
        end: the tokens to add after each answer.

    Raises:
        PlatformError: there are no samples, or their ids repeat.
    """
    claims = Claims(folder / _PARTS)
    parts = 0
    with progress("tokenising", pq.read_metadata(samples_file).num_rows, "samples") as counter:
        # Every process reads all samples, which takes little beside their tokens.
        for samples in sample_batches(samples_file):
            if claims.take(parts):
                ((sample_ids, without_end),) = read_last_answers([samples], renderer, boundary)
                answers = [replace(last, answer=last.answer + end) for last in without_end]
                _write_part(_lengths(sample_ids, answers, window), answers, window, folder / _PARTS / f"part-{parts}")
            parts += 1
            counter.advance(len(samples))
    wait_for_all()
    if is_first():
        _put_together(folder, parts, samples_file)
        claims.remove()
    wait_for_all()


def _write_part(lengths: pa.Table, answers: list[LastAnswer], window: _Window, path: Path) -> None:
    """Write the scored tokens of some samples, and the table of their lengths."""
    kept = (lengths[name].to_pylist() for name in ("prompt_tokens", "answer_tokens", "direct_answer_tokens"))
    with path.with_suffix(".int32").open("wb") as file:
        for last, prompt, answer, direct in zip(answers, *kept, strict=True):
            joint = cut_prompt(last.prompt, prompt, window.cut, window.keep_first) + last.answer[:answer]
            without_prompt = [*last.cue, *last.answer_after_cue[:direct]] if direct else []
            np.array(joint + without_prompt, dtype=np.int32).tofile(file)
    pq.write_table(lengths, path.with_suffix(".parquet"))


def _put_together(folder: Path, parts: int, samples_file: Path) -> None:
    """Make one file of the parts' tokens, and one table of their lengths."""
    tables = [_LENGTHS.empty_table()]
    with whole_file(folder / _IDS_FILE) as temporary, temporary.open("wb") as file:
        for part in range(parts):
            table = pq.read_table(folder / _PARTS / f"part-{part}.parquet")
            offset = table["offset"].to_numpy() + file.tell() // np.dtype(np.int32).itemsize
            place = _LENGTHS.get_field_index("offset")
            tables.append(table.set_column(place, _LENGTHS.field(place), pa.array(offset, pa.int64())))
            with (folder / _PARTS / f"part-{part}.int32").open("rb") as tokens:
                shutil.copyfileobj(tokens, file)
    lengths = pa.concat_tables(tables)
    _check_samples(lengths, samples_file)
    with whole_file(folder / _LENGTHS_FILE) as temporary:
        pq.write_table(lengths, temporary)


def _lengths(sample_ids: pa.Array, answers: list[LastAnswer], window: _Window) -> pa.Table:
    """Rows of `_LENGTHS` for samples whose tokens are written one after another."""
    prompt = np.array([len(last.prompt) for last in answers])
    answer = np.array([len(last.answer) for last in answers])
    after_cue = np.array([len(last.answer_after_cue) for last in answers])
    cue = np.array([len(last.cue) for last in answers])
    # The cue has its own beginning-of-sequence token.
    before_answer = cue - window.keep_first
    scored_prompt, scored = kept_in_scoring(prompt, answer, *window, keep_last=before_answer)
    _, direct = kept_in_scoring(prompt, after_cue, *window, keep_last=before_answer)
    written = scored_prompt + scored + np.where(direct > 0, cue + direct, 0)
    columns = [
        sample_ids,
        pa.array(scored_prompt, pa.int32()),
        pa.array(scored, pa.int32()),
        pa.array(direct, pa.int32()),
        pa.array(prompt - scored_prompt, pa.int32()),
        pa.array(answer - scored, pa.int32()),
        pa.array(np.cumsum(written) - written, pa.int64()),
    ]
    return pa.table(columns, schema=_LENGTHS)


def _check_samples(lengths: pa.Table, samples_file: Path) -> None:
    """Raise PlatformError unless there are samples with different ids."""
    if lengths.num_rows == 0:
        raise PlatformError(f"{samples_file}: no samples")
    counts = lengths["sample_id"].value_counts()
    repeated = [entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1]
    if repeated:
        raise PlatformError(f"{samples_file}: sample_id {repeated[0]!r} occurs more than once; remove the copies")
