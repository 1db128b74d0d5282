import random
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from selection_platform.errors import PlatformError
from selection_platform.evaluation import pieces
from selection_platform.evaluation.engine import Continuation, by_row, cut_into_batches
from selection_platform.evaluation.pieces import Kept, Piece, Planned, Work, answer_all, grouped, remove_answers


class Batched:
    """Answers with what shared a batch: the lengths of its rows, and the place of the row among them."""

    max_length = 1000

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.batches: list[list[int]] = []

    def _of_batches(self, lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
        for batch in cut_into_batches(lengths, self.batch_size):
            self.batches.append([lengths[index] for index in batch])
            yield from ((index, [place, *self.batches[-1]]) for place, index in enumerate(batch))

    def generate(self, prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...]) -> Iterator[Any]:
        yield from self._of_batches([len(prompt) for prompt in prompts])

    def log_likelihoods(self, continuations: Sequence[Continuation]) -> Iterator[Any]:
        rows = by_row(continuations)
        for row, ids in self._of_batches([len(row) for row in rows]):
            for place in list(rows.values())[row]:
                yield place, (float(continuations[place].answer[-1] + sum(ids)), ids[0] == 0)


@pytest.fixture
def few(monkeypatch):
    """Pieces of some batches each."""
    monkeypatch.setattr(pieces, "MOST_PIECES", 4)


def asked() -> tuple[list[list[int]], list[Continuation]]:
    draw = random.Random(0)
    prompts = [[draw.randrange(9)] * draw.randrange(1, 60) for _ in range(50)]
    # Four letters behind each prompt share its row.
    return prompts, [Continuation(prompt, [letter]) for prompt in prompts for letter in range(4)]


def ask(engine: Any) -> list[dict[int, Any]]:
    prompts, continuations = asked()
    calls = [engine.generate(prompts, 8, ("x",)), engine.log_likelihoods(continuations), engine.generate([], 8, ())]
    return [dict(call) for call in calls]


@pytest.mark.usefixtures("few")
def test_pieces_have_the_batches_of_the_whole_list(tmp_path):
    whole, parts, plan = Batched(3), Batched(3), Planned(1000, 3)
    expected = ask(whole)
    ask(plan)
    assert len(plan.pieces) == 8
    answer_all(tmp_path, [Work("", "", plan.pieces, lambda: parts, lambda: None)])
    assert parts.batches == whole.batches
    assert ask(Kept(tmp_path, 1000, 3)) == expected
    # What is there is not computed again.
    answer_all(tmp_path, [Work("", "", plan.pieces, lambda: pytest.fail("an engine was loaded"), lambda: None)])
    assert {path.name for path in tmp_path.iterdir()} == {".answers"}
    remove_answers(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("few")
def test_an_engine_that_makes_batches_itself_is_asked_whole_lists():
    plan = Planned(1000, None)
    ask(plan)
    assert [sorted(piece.places) for piece in plan.pieces] == [list(range(50)), list(range(200))]


def test_groups_by_hand(monkeypatch):
    assert grouped("abcd", [4, 2, 1, 1]) == [["a"], ["b"], ["c"], ["d"]]
    monkeypatch.setattr(pieces, "MOST_PIECES", 2)
    assert grouped("abcd", [4, 2, 1, 1]) == [["a"], ["b", "c", "d"]]
    assert grouped("abcd", [1, 1, 1, 9]) == [["a", "b", "c"], ["d"]]
    assert grouped("", []) == []


def test_what_two_benchmarks_ask_is_computed_once(tmp_path):
    plans = [Planned(1000, 3), Planned(1000, 3)]
    for plan in plans:
        ask(plan)
    engine = Batched(3)
    answer_all(tmp_path, [Work("", "", plan.pieces, lambda: engine, lambda: None) for plan in plans])
    assert len(engine.batches) == len(plans[0].pieces)


def test_a_benchmark_is_scored_before_the_next_is_asked(tmp_path):
    done = []

    def work(name: str, new_tokens: int) -> Work:
        plan = Planned(1000, 3)
        list(plan.generate([[1], [2]], new_tokens, ()))
        return Work(
            name, "", plan.pieces, lambda: done.append(f"{name} asked") or Batched(3), lambda: done.append(name)
        )

    answer_all(tmp_path, [work("first", 1), work("second", 2)])
    assert done == ["first asked", "first", "second asked", "second"]


def test_other_questions_have_other_names():
    prompts, continuations = asked()
    of_prompts = [
        pieces.pieces_of_prompts(prompts, 8, ("x",), 3),
        pieces.pieces_of_prompts(prompts, 9, ("x",), 3),
        pieces.pieces_of_prompts(prompts, 8, ("y",), 3),
        pieces.pieces_of_prompts(prompts, 8, ("x",), 4),
        pieces.pieces_of_continuations(continuations, 3),
    ]
    names = [piece.name for each in of_prompts for piece in each]
    assert len(set(names)) == len(names)


def test_answers_that_nobody_wrote_are_named(tmp_path):
    with pytest.raises(PlatformError, match=r"a\.json: no process wrote these answers; run again"):
        list(Kept(tmp_path, 9, 1).read([Piece("a", [0], cast(Any, None))]))
