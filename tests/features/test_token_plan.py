"""Which tokens of a sample are scored, by hand: with the end-of-sequence token behind the answer, and without it."""

import copy
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from selection_platform.configuration.text_settings import TextSettings
from selection_platform.features import token_count, token_plan
from selection_platform.features.token_plan import TokenPlan, make_plan, remove_plan
from selection_platform.text.conversation import Message
from selection_platform.text.cuts import ScoringCut
from selection_platform.text.template_choice import make_renderer
from tests.tiny import CONFIGS, paper, save_model, write_samples

PROMPT = "Human: Hi\nAssistant: "
SAMPLES = {
    name: [Message("user", "Hi"), Message("assistant", answer)]
    for name, answer in {"empty": "", "one": "x", "two": "xy", "three": "xyz"}.items()
}


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.fixture
def tokenizer(tmp_path: Path):
    """Answers of x, y and z have a token for each letter."""
    save_model(tmp_path / "model", CONFIGS["llama"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert len(encode(tokenizer, "xyz")) == 3
    return tokenizer


def plan_of(tokenizer, folder: Path, room: int, cut: ScoringCut = "answer_end", *, with_end: bool = False) -> TokenPlan:
    """The plan of the samples where the window has room for so many tokens behind the prompt."""
    folder.mkdir()
    write_samples(folder / "samples.parquet", SAMPLES)
    window = len(encode(tokenizer, PROMPT)) + room
    return make_plan(folder / "samples.parquet", paper(tokenizer), window, cut, folder, with_end=with_end)


def rows(plan: TokenPlan) -> dict[str, tuple[list[int], list[int], int, bool]]:
    """Of each sample the tokens of both passes, the number of those of its answer, and whether it was cut."""
    return {
        name: (
            plan.joint(index).tolist(),
            plan.direct(index).tolist(),
            int(plan.answer_tokens[index]),
            bool(plan.truncated[index]),
        )
        for index, name in enumerate(plan.sample_id.to_pylist())
    }


def test_the_end_stands_behind_whole_answers_and_cut_ones_have_none(tokenizer, tmp_path: Path):
    plan = plan_of(tokenizer, tmp_path / "plan", 2, with_end=True)
    prompt, cue, xy = (encode(tokenizer, text) for text in (PROMPT, "Assistant: ", "xy"))
    end = tokenizer.eos_token_id
    assert rows(plan) == {
        "three": (prompt + xy, cue + xy, 2, True),
        # Only the end does not fit.
        "two": (prompt + xy, cue + xy, 2, True),
        "one": ([*prompt, xy[0], end], [*cue, xy[0]], 2, False),
        "empty": ([*prompt, end], [], 1, False),
    }
    # Longest first, the end counted: one is as long as those that were cut.
    assert plan.sample_id.to_pylist() == ["one", "three", "two", "empty"]


def test_without_the_end_the_answer_alone_is_scored(tokenizer, tmp_path: Path):
    plan = plan_of(tokenizer, tmp_path / "plan", 2)
    prompt, cue, xy = (encode(tokenizer, text) for text in (PROMPT, "Assistant: ", "xy"))
    assert rows(plan) == {
        "three": (prompt + xy, cue + xy, 2, True),
        "two": (prompt + xy, cue + xy, 2, False),
        "one": ([*prompt, xy[0]], [*cue, xy[0]], 1, False),
        "empty": (prompt, [], 0, False),
    }
    # In the order of the file: empty, one, two, three.
    written = [prompt, [*prompt, xy[0], *cue, xy[0]], *2 * [prompt + xy + cue + xy]]
    np.testing.assert_array_equal(plan.ids, np.concatenate(written))
    assert tokenizer.eos_token_id not in plan.ids


def test_where_the_prompt_fills_the_window_nothing_is_scored(tokenizer, tmp_path: Path):
    for with_end in (True, False):
        plan = plan_of(tokenizer, tmp_path / f"plan-{with_end}", 0, "answer_end", with_end=with_end)
        assert plan.answer_tokens.tolist() == [0] * 4
        assert dict(zip(plan.sample_id.to_pylist(), plan.truncated.tolist(), strict=True))["empty"] is with_end


def test_a_prompt_loses_its_start_and_the_answer_stays_whole(tokenizer, tmp_path: Path):
    plan = plan_of(tokenizer, tmp_path / "plan", 1, "prompt_start", with_end=True)
    prompt, cue, xyz = (encode(tokenizer, text) for text in (PROMPT, "Assistant: ", "xyz"))
    end = tokenizer.eos_token_id
    assert rows(plan) == {
        "three": ([*prompt[3:], *xyz, end], cue + xyz, 4, False),
        "two": ([*prompt[2:], *xyz[:2], end], cue + xyz[:2], 3, False),
        "one": ([*prompt[1:], xyz[0], end], [*cue, xyz[0]], 2, False),
        "empty": ([*prompt, end], [], 1, False),
    }
    assert dict(zip(plan.sample_id.to_pylist(), plan.prompt_cut.tolist(), strict=True)) == {
        "three": 3, "two": 2, "one": 1, "empty": 0,
    }  # fmt: skip


def test_the_beginning_and_the_cue_stay_and_then_an_answer_loses_its_end(tokenizer, tmp_path: Path):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.bos_token = tokenizer.eos_token
    renderer = make_renderer(tokenizer, TextSettings(template="paper", bos="always"))
    prompt, cue, xyz = (encode(tokenizer, text) for text in (PROMPT, "Assistant: ", "xyz"))
    bos = renderer.bos
    assert len(bos) == 1
    write_samples(tmp_path / "samples.parquet", SAMPLES)
    # Room for the beginning, the cue and two of the answer.
    window = 1 + len(cue) + 2
    plan = make_plan(tmp_path / "samples.parquet", renderer, window, "prompt_start", tmp_path)
    last = prompt[-len(cue) :]
    assert rows(plan)["three"] == ([*bos, *last, *xyz[:2]], [*bos, *cue, *xyz[:2]], 2, True)
    assert rows(plan)["two"] == ([*bos, *last, *xyz[:2]], [*bos, *cue, *xyz[:2]], 2, False)
    assert rows(plan)["one"] == ([*bos, *prompt[-len(cue) - 1 :], xyz[0]], [*bos, *cue, xyz[0]], 1, False)


def test_parts_that_several_processes_tokenised_are_put_together_in_the_files_order(tokenizer, tmp_path, monkeypatch):
    whole = plan_of(tokenizer, tmp_path / "plan", 2)
    monkeypatch.setattr(token_count, "ROWS_PER_BATCH", 1)
    folder = tmp_path / "parts"
    put_together = token_plan._put_together
    taken = []

    class Shared(token_plan.Claims):
        def take(self, piece):
            taken.append(piece)
            return piece % 2 == 0

    def by_another(of_job, parts, samples_file):
        """The other process, which has done its parts when the first puts them together."""
        taken.append("other")
        with monkeypatch.context() as patch:
            patch.setattr(token_plan, "Claims", Other)
            patch.setattr(token_plan, "_put_together", put_together)
            window = token_plan._Window(len(encode(tokenizer, PROMPT)) + 2, "answer_end", 0)
            token_plan._tokenize(samples_file, paper(tokenizer), window, of_job, "pieces", [])

    class Other(token_plan.Claims):
        def __init__(self, of_parts):
            self._folder = of_parts

        def take(self, piece):
            return int(piece) % 2 == 1

    monkeypatch.setattr(token_plan, "Claims", Shared)
    monkeypatch.setattr(token_plan, "_put_together", by_another)
    again = plan_of(tokenizer, folder, 2)
    assert taken == [0, 1, 2, 3, "other"]
    assert rows(again) == rows(whole)
    np.testing.assert_array_equal(again.ids, whole.ids)
    assert again.offset.tolist() == whole.offset.tolist()
    assert sorted(path.name for path in folder.iterdir()) == ["samples.parquet", "tokens.int32", "tokens.parquet"]


def test_a_plan_that_an_earlier_version_left_is_made_again(tokenizer, tmp_path: Path):
    whole = plan_of(tokenizer, tmp_path / "plan", 2)
    lengths_file = tmp_path / "plan" / "tokens.parquet"
    earlier = pq.read_table(lengths_file).drop(["prompt_cut", "answer_cut"])
    pq.write_table(earlier, lengths_file)
    window = len(encode(tokenizer, PROMPT)) + 2
    again = make_plan(tmp_path / "plan" / "samples.parquet", paper(tokenizer), window, "answer_end", tmp_path / "plan")
    assert rows(again) == rows(whole)


def test_what_was_left_of_the_parts_by_a_kill_goes_with_the_plan(tokenizer, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(token_plan.Claims, "remove", lambda _: None)
        plan_of(tokenizer, tmp_path / "plan", 2)
    remove_plan(tmp_path / "plan")
    assert [path.name for path in (tmp_path / "plan").iterdir()] == ["samples.parquet"]
