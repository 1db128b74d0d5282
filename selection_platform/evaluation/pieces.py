"""An evaluation's work in pieces, which several processes share and a killed job keeps.

A piece is some batches of one list of prompts. Batches are those of the whole list, so results depend neither on the
number of processes nor on what was done before. A piece is known by the hash of what it asks, and its answers are a
file of that name.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from transformers import PreTrainedModel

from selection_platform.errors import PlatformError
from selection_platform.evaluation.engine import Continuation, Likelihood, by_row, cut_into_batches
from selection_platform.evaluation.held_out_loss import HeldOut, batch_bits
from selection_platform.job.claims import Claims
from selection_platform.job.folder import content_hash, whole_file
from selection_platform.job.processes import is_first, wait_for_all
from selection_platform.job.progress import progress

MOST_PIECES = 256
"""Of one list of prompts: 32 processes lose an eighth of their time at its end, and 8 of them 3%."""
_ANSWERS, _CLAIMS = ".answers", ".claims"

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Piece:
    """What one process computes before it takes something else.

    Attributes:
        name: a hash of all that decides its answers but the model.
        places: of its answers in the whole list, in order.
        answers: computes them with an engine, or with a model. Each comes with its place in this piece.
    """

    name: str
    places: Sequence[int]
    answers: Callable[[Any], Iterator[tuple[int, Any]]]


@dataclass(frozen=True)
class Work:
    """The pieces of one benchmark, or of one held-out loss.

    Attributes:
        label, unit: for the progress line.
        pieces: in the same order in every process.
        answerer: gives what the pieces compute their answers with; only called if something is left to compute.
        score: scores the answers, once they are there. The first process calls it as early as it can.
    """

    label: str
    unit: str
    pieces: Sequence[Piece]
    answerer: Callable[[], Any]
    score: Callable[[], object]


def grouped(batches: Sequence[Batch], tokens: Sequence[int]) -> list[list[Batch]]:
    """At most `MOST_PIECES` groups of batches that follow each other, with about as many tokens each."""
    enough = sum(tokens) / MOST_PIECES
    # By the middle of each batch, or remainders would add up.
    middles = (end - size / 2 for end, size in zip(accumulate(tokens), tokens, strict=True))
    numbered = zip((middle // enough for middle in middles), batches, strict=True)
    return [[batch for _, batch in group] for _, group in groupby(numbered, key=itemgetter(0))]


def pieces_of_prompts(
    prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...], batch_size: int | None
) -> list[Piece]:
    """The pieces of one call of `Engine.generate`; one piece if `batch_size` is None, where the engine makes batches.

    Those with the longest prompts come first.
    """
    lengths = [len(prompt) for prompt in prompts]
    batches = [list(range(len(prompts)))] if batch_size is None else list(cut_into_batches(lengths, batch_size))
    tokens = [len(batch) * (max(lengths[place] for place in batch) + new_tokens) for batch in batches if batch]

    def piece(places: list[int]) -> Piece:
        ours = [prompts[place] for place in places]
        name = content_hash(["generate", ours, new_tokens, stops, batch_size])
        return Piece(name, places, lambda engine: engine.generate(ours, new_tokens, stops))

    return [piece(list(chain.from_iterable(group))) for group in grouped(batches if prompts else [], tokens)]


def pieces_of_continuations(continuations: Sequence[Continuation], batch_size: int | None) -> list[Piece]:
    """The pieces of one call of `Engine.log_likelihoods`. See `pieces_of_prompts`."""
    rows = by_row(continuations)
    lengths, of_row = [len(row) for row in rows], list(rows.values())
    batches = [list(range(len(rows)))] if batch_size is None else list(cut_into_batches(lengths, batch_size))
    tokens = [len(batch) * max(lengths[row] for row in batch) for batch in batches if batch]

    def piece(places: list[int]) -> Piece:
        ours = [continuations[place] for place in places]
        name = content_hash(["score", [[each.context, each.answer] for each in ours], batch_size])
        return Piece(name, places, lambda engine: engine.log_likelihoods(ours))

    groups = grouped(batches if rows else [], tokens)
    return [piece([place for batch in group for row in batch for place in of_row[row]]) for group in groups]


def pieces_of_rows(held_out: HeldOut, tokens_per_batch: int) -> list[Piece]:
    """The pieces of a held-out loss: the bits of its rows, computed with the model itself."""
    batches = held_out.batches(tokens_per_batch)
    tokens = [len(batch) * max(len(held_out.rows[row]) for row in batch) for batch in batches]

    def piece(group: list[list[int]]) -> Piece:
        asked = [[(held_out.rows[row], held_out.masks[row]) for row in batch] for batch in group]
        name = content_hash(["loss", [[(ids.tolist(), mask.tolist()) for ids, mask in batch] for batch in asked]])

        def bits(model: PreTrainedModel) -> Iterator[tuple[int, float]]:
            of_all = (found for batch in asked for found in batch_bits(model, *zip(*batch, strict=True)))
            yield from enumerate(of_all)

        return Piece(name, list(chain.from_iterable(group)), bits)

    return [piece(group) for group in grouped(batches, tokens)]


class Planned:
    """An engine that answers nothing, and only plans what it is asked.

    Args:
        max_length: see `Engine`.
        batch_size: prompts per batch; None if the engine that will answer decides that itself.
    """

    def __init__(self, max_length: int, batch_size: int | None) -> None:
        self.max_length, self.batch_size = max_length, batch_size
        self.pieces: list[Piece] = []

    def generate(
        self, prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...]
    ) -> Iterator[tuple[int, list[int]]]:
        """Plan the prompts; the answers are empty."""
        self.pieces += pieces_of_prompts(prompts, new_tokens, stops, self.batch_size)
        yield from ((place, []) for place in range(len(prompts)))

    def log_likelihoods(self, continuations: Sequence[Continuation]) -> Iterator[tuple[int, Likelihood]]:
        """Plan the continuations; the log-likelihoods are 0."""
        self.pieces += pieces_of_continuations(continuations, self.batch_size)
        yield from ((place, (0.0, False)) for place in range(len(continuations)))


class Kept:
    """An engine whose answers lie in a job's folder.

    Args:
        folder: of the job.
        max_length, batch_size: as of the `Planned` that planned them.

    Attributes:
        seconds: that the answers took which were asked for, of all processes together.
    """

    def __init__(self, folder: Path, max_length: int, batch_size: int | None) -> None:
        self.max_length, self.batch_size = max_length, batch_size
        self.seconds = 0.0
        self._folder = folder

    def generate(
        self, prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...]
    ) -> Iterator[tuple[int, list[int]]]:
        """See `Engine`."""
        yield from self.read(pieces_of_prompts(prompts, new_tokens, stops, self.batch_size))

    def log_likelihoods(self, continuations: Sequence[Continuation]) -> Iterator[tuple[int, Likelihood]]:
        """See `Engine`."""
        found = self.read(pieces_of_continuations(continuations, self.batch_size))
        yield from ((place, (likelihood, is_greedy)) for place, (likelihood, is_greedy) in found)

    def read(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, Any]]:
        """The answers of pieces, each with its place in the whole list.

        Raises:
            PlatformError: no process wrote them.
        """
        for piece in pieces:
            path = _file(self._folder, piece)
            if not path.exists():
                raise PlatformError(
                    f"{path}: no process wrote these answers; run again, and they are written, unless the task asks "
                    "something else each time that it is loaded"
                )
            found = json.loads(path.read_bytes())
            self.seconds += found["seconds"]
            yield from zip(piece.places, found["answers"], strict=True)


def answer_all(folder: Path, works: Sequence[Work]) -> None:
    """Compute the answers that are not in the folder yet, each by one process, and wait for all of them.

    Every process calls this with the same work. One that is free takes the next piece.
    """
    claims = Claims(folder / _CLAIMS)
    # Asked once, as with shards: on a network's file system, a file that was looked for may stay hidden for a while.
    seen = {path.stem for path in (folder / _ANSWERS).glob("*.json")}
    for work in works:
        with progress(work.label, sum(len(piece.places) for piece in work.pieces), work.unit) as done:
            for piece in work.pieces:
                # Two benchmarks may ask the same, and then it is computed once.
                if piece.name not in seen and claims.take(piece.name):
                    _write(folder, piece, work.answerer(), done.advance)
                else:
                    done.advance(len(piece.places))
                seen.add(piece.name)
        if is_first() and all(_file(folder, piece).exists() for piece in work.pieces):
            work.score()
    wait_for_all()
    if is_first():
        claims.remove()


def remove_answers(folder: Path) -> None:
    """Remove what `answer_all` keeps in a job's folder."""
    shutil.rmtree(folder / _ANSWERS, ignore_errors=True)


def _write(folder: Path, piece: Piece, answerer: Any, advance: Callable[[int], None]) -> None:
    started = time.monotonic()
    answers: list[Any] = [None] * len(piece.places)
    for place, answer in piece.answers(answerer):
        answers[place] = answer
        advance(1)
    content: Mapping[str, Any] = {"seconds": time.monotonic() - started, "answers": answers}
    with whole_file(_file(folder, piece)) as temporary:
        temporary.write_text(json.dumps(content))


def _file(folder: Path, piece: Piece) -> Path:
    return folder / _ANSWERS / f"{piece.name}.json"
