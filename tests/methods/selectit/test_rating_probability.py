"""Ratings against a slow loop that runs one prompt at a time and makes all logits."""

import copy
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

from selection_platform.errors import NotFinite
from selection_platform.job.folder import read_manifest
from selection_platform.job.versions import VERSIONS
from selection_platform.methods.selectit import rating_probability
from selection_platform.methods.selectit.rating_probability import RatingSpec, rate
from selection_platform.methods.selectit.rating_prompts import (
    RATING_CUE,
    RATING_PROMPTS,
    NoDigitTokens,
    digit_tokens,
    rating_tokens,
)
from selection_platform.text.conversation import Message
from selection_platform.text.cuts import ScoringCut
from selection_platform.text.rendering import tokenize_last_answer
from tests.shards import shard_bytes
from tests.specs import changed, made
from tests.tiny import CONFIGS, cut_apart, long_samples, paper, random_samples, save_model, write_samples


def config(architecture: str) -> PreTrainedConfig:
    """The tiny model, with room for the rating lines: its tokens are single bytes."""
    roomy = copy.deepcopy(CONFIGS[architecture])
    roomy.max_position_embeddings = 512
    return roomy


@pytest.fixture
def spec(tmp_path: Path) -> RatingSpec:
    """A job with 12 samples, a few of them cut: 3 shards, and batches of a few rows."""
    save_model(tmp_path / "model", config("llama"))
    write_samples(tmp_path / "samples.parquet", random_samples(12))
    return made(
        RatingSpec,
        model_folder=str(tmp_path / "model"),
        samples_file=str(tmp_path / "samples.parquet"),
        max_length=rating_tokens(paper(AutoTokenizer.from_pretrained(tmp_path / "model"))).longest + 60,
        tokens_per_batch=1024,
        samples_per_shard=5,
    )


def read_ratings(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))])


def cut_conversation(tokenizer, messages: list[Message], room: int, cut: ScoringCut) -> tuple[list[int], list[int]]:
    last = tokenize_last_answer(messages, tokenizer)
    return cut_apart(last.prompt, last.answer, len(last.cue), room, cut)


def rate_alone(model, tokenizer, line: str, messages: list[Message], cut: ScoringCut) -> list[float]:
    """Probabilities of the digits after one prompt, from the last of all rows of logits."""
    head, cue = tokenizer.encode(f"{line}\n\n"), tokenizer.encode(RATING_CUE)
    prompt, answer = cut_conversation(tokenizer, messages, 60, cut)
    ids = head + prompt + answer + cue
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    digits = [tokenizer.encode(digit)[0] for digit in "12345"]
    return torch.softmax(logits, dim=-1)[-1, digits].tolist()


@pytest.mark.parametrize(
    ("architecture", "cut"), [("llama", "prompt_start"), ("qwen2", "answer_end"), ("gpt2", "prompt_start")]
)
def test_equals_one_prompt_at_a_time(architecture: str, cut: ScoringCut, spec: RatingSpec, tmp_path: Path):
    folder = tmp_path / architecture
    model = save_model(folder, config(architecture))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    samples = {**random_samples(12), **long_samples()}
    write_samples(Path(spec.samples_file), samples)
    summary = rate(changed(spec, model_folder=str(folder), cut=cut), tmp_path / "out")
    rows = read_ratings(tmp_path / "out").to_pylist()
    assert sorted((row["sample_id"], row["prompt"]) for row in rows) == [
        (name, prompt) for name in sorted(samples) for prompt in range(1, 6)
    ]
    for row in rows:
        line, messages = RATING_PROMPTS[row["prompt"] - 1], samples[row["sample_id"]]
        assert row["probabilities"] == pytest.approx(rate_alone(model, tokenizer, line, messages, cut), rel=1e-4)
    kept = {name: cut_conversation(tokenizer, messages, 60, cut) for name, messages in samples.items()}
    whole = {name: tokenize_last_answer(messages, tokenizer) for name, messages in samples.items()}
    for row in rows:
        (prompt, answer), last = kept[row["sample_id"]], whole[row["sample_id"]]
        lost = len(last.prompt) - len(prompt), len(last.answer) - len(answer)
        assert (row["prompt_cut"], row["answer_cut"], row["truncated"]) == (*lost, lost[1] > 0)
    assert summary.truncated == sum(row["truncated"] for row in rows) / 5 > 0
    assert summary.cut_prompts == sum(row["prompt_cut"] > 0 for row in rows) / 5 > 0
    assert summary.prompt_fills_context == sum(
        not answer and bool(whole[name].answer) for name, (_, answer) in kept.items()
    )
    assert (summary.prompt_fills_context > 0) == (cut == "answer_end")
    assert summary.samples == 15


def test_columns_are_what_the_warehouse_expects(spec: RatingSpec, tmp_path: Path):
    summary = rate(spec, tmp_path / "out")
    ratings = read_ratings(tmp_path / "out")
    assert ratings.schema.remove_metadata() == pa.schema(
        [
            ("sample_id", pa.string()),
            ("prompt", pa.int32()),
            ("probabilities", pa.list_(pa.float64(), 5)),
            ("truncated", pa.bool_()),
            ("prompt_cut", pa.int32()),
            ("answer_cut", pa.int32()),
        ]
    )
    assert ratings["prompt"].to_pylist() == [1, 2, 3, 4, 5] * 12
    assert [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "out").glob("part-*"))] == [25, 25, 10]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cut",
        "files.json",
        "job.json",
        "manifest.json",
        *(f"part-{number:05d}.parquet" for number in range(3)),
    ]
    assert 0 < summary.padding_share < 0.2


def test_a_model_of_equal_chances_gives_each_digit_its_share_of_the_vocabulary(spec: RatingSpec, tmp_path: Path):
    model = save_model(tmp_path / "model", config("llama"))
    model.lm_head.weight.data.zero_()
    model.save_pretrained(tmp_path / "model")
    rate(spec, tmp_path / "out")
    probabilities = np.array(read_ratings(tmp_path / "out")["probabilities"].to_pylist())
    np.testing.assert_allclose(probabilities, 1 / 300, rtol=1e-5)


@pytest.mark.slow
def test_neighbours_in_a_batch_change_nothing(spec: RatingSpec, tmp_path: Path):
    rate(spec, tmp_path / "together")
    rate(changed(spec, tokens_per_batch=spec.scoring.max_length, samples_per_shard=1), tmp_path / "alone")
    together, alone = read_ratings(tmp_path / "together"), read_ratings(tmp_path / "alone")
    assert together["sample_id"] == alone["sample_id"]
    assert together["prompt"] == alone["prompt"]
    np.testing.assert_allclose(
        together["probabilities"].to_pylist(), alone["probabilities"].to_pylist(), rtol=1e-4, atol=0
    )


def test_a_long_conversation_keeps_line_and_cue(spec: RatingSpec, tmp_path: Path):
    # Conversations that differ beyond the window alone are rated alike; a change inside it is seen.
    start = "x" * 100
    samples = {
        "one": [Message("user", f"{start} one"), Message("assistant", "a")],
        "other": [Message("user", f"{start} other"), Message("assistant", "b")],
        "seen": [Message("user", f"y{start} one"), Message("assistant", "a")],
    }
    write_samples(tmp_path / "samples.parquet", samples)
    summary = rate(changed(spec, cut="answer_end"), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    sizes = [len(tokenizer.encode(f"{line}\n\n")) + 60 + len(tokenizer.encode(RATING_CUE)) for line in RATING_PROMPTS]
    assert (summary.truncated, summary.prompt_fills_context, summary.tokens) == (3, 3, 3 * sum(sizes))
    assert max(sizes) == spec.scoring.max_length
    ratings = {name: [] for name in samples}
    for row in read_ratings(tmp_path / "out").to_pylist():
        ratings[row["sample_id"]].append(row["probabilities"])
    np.testing.assert_allclose(ratings["one"], ratings["other"], rtol=1e-5)
    assert not np.allclose(ratings["one"], ratings["seen"], rtol=1e-3)
    first, *others = ratings["one"]
    assert all(not np.allclose(first, other, rtol=1e-3) for other in others)


def test_digits_are_looked_up(tmp_path: Path):
    save_model(tmp_path, config("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert [tokenizer.decode([token]) for token in digit_tokens(tokenizer)] == ["1", "2", "3", "4", "5"]


def word_tokenizer(words: list[str], before_digit: str = "") -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(["<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if before_digit:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(before_digit), pre_tokenizers.Digits(individual_digits=True)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def test_a_digit_may_follow_a_token_for_the_start_of_a_word():
    tokenizer = word_tokenizer(["▁", "5", "4", "3", "2", "1"], before_digit="▁")
    assert len(tokenizer.encode("1")) == 2
    assert digit_tokens(tokenizer).tolist() == [6, 5, 4, 3, 2]


@pytest.mark.parametrize(("words", "missing"), [(["cat"], 1), (["1", "2", "3"], 4)])
def test_refuses_a_tokenizer_without_digits(words: list[str], missing: int):
    with pytest.raises(NoDigitTokens, match=f"the digit {missing} is not a single token"):
        digit_tokens(word_tokenizer(words))


def test_resumes_to_the_same_bytes(spec: RatingSpec, tmp_path: Path):
    summary = rate(spec, tmp_path / "out")
    whole, manifest = shard_bytes(tmp_path / "out"), read_manifest(tmp_path / "out")
    assert manifest is not None
    for name in ("manifest.json", "part-00001.parquet"):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / ".part-00001.parquet.partial").write_bytes(b"half")
    kept = (tmp_path / "out/part-00000.parquet").stat().st_mtime_ns
    again = rate(spec, tmp_path / "out")
    assert shard_bytes(tmp_path / "out") == whole
    assert (tmp_path / "out/part-00000.parquet").stat().st_mtime_ns == kept
    assert replace(again, seconds=0, load_seconds=0, peak_memory_bytes=0) == replace(
        summary, seconds=0, load_seconds=0, peak_memory_bytes=0
    )
    assert (read_manifest(tmp_path / "out") or {})["content_hash"] == manifest["content_hash"]
    assert rate(spec, tmp_path / "out") == again  # the same seconds: nothing ran


@pytest.mark.slow  # another process has to import torch
def test_a_killed_process_goes_on_to_the_same_bytes(spec: RatingSpec, tmp_path: Path):
    script = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1); "
        "from selection_platform.methods.selectit.rating_probability import RatingSpec, rate; "
        "rate(RatingSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
    )
    one_a_shard = changed(spec, samples_per_shard=1)
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", script, one_a_shard.model_dump_json(), str(out)])
    deadline = time.monotonic() + 60
    while not (out / "part-00002.parquet").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(shard_bytes(out)) < 12
    assert not (out / "manifest.json").exists()
    rate(one_a_shard, out)
    rate(one_a_shard, tmp_path / "uninterrupted")
    assert shard_bytes(out) == shard_bytes(tmp_path / "uninterrupted")


@pytest.mark.slow
def test_other_prompts_are_another_job(spec: RatingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rate(spec, tmp_path / "out")
    before = shard_bytes(tmp_path / "out")
    monkeypatch.setitem(VERSIONS, "rating_probability", 99)
    assert rate(spec, tmp_path / "out").samples == 12
    assert json.loads((tmp_path / "out/job.json").read_text())["code_version"] == 99
    identity = json.loads((tmp_path / "out/job.json").read_text())
    monkeypatch.setattr(rating_probability, "RATING_PROMPTS", ("Rate it.", *RATING_PROMPTS[1:]))
    rate(spec, tmp_path / "out")
    changed = json.loads((tmp_path / "out/job.json").read_text())
    assert {key for key in identity if identity[key] != changed[key]} == {"prompts"}
    assert shard_bytes(tmp_path / "out") == before  # only the identity was patched, not what is asked


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_row_fails_the_job_and_is_named(value: float, spec: RatingSpec, tmp_path: Path):
    model = save_model(tmp_path / "model", config("llama"))
    (token,) = AutoTokenizer.from_pretrained(tmp_path / "model").encode("X")
    model.model.embed_tokens.weight.data[token] = value
    model.save_pretrained(tmp_path / "model")
    samples = {
        "healthy": [Message("user", "the cat sat on the mat"), Message("assistant", "a hat")],
        "sick": [Message("user", "cat"), Message("assistant", "X")],
    }
    write_samples(tmp_path / "samples.parquet", samples)
    with pytest.raises(NotFinite, match="sample sick in float32"):
        rate(changed(spec, samples_per_shard=1), tmp_path / "out")
    assert set(read_ratings(tmp_path / "out")["sample_id"].to_pylist()) == {"healthy"}
    assert not (tmp_path / "out/manifest.json").exists()


def test_refuses_impossible_jobs(spec: RatingSpec, tmp_path: Path):
    longest = spec.scoring.max_length - 60
    with pytest.raises(ValueError, match=f"longest rating prompt takes {longest} tokens"):
        rate(changed(spec, max_length=longest), tmp_path / "out")
    with pytest.raises(ValueError, match="512 positions"):
        rate(changed(spec, max_length=513), tmp_path / "out")
    write_samples(tmp_path / "samples.parquet", {})
    with pytest.raises(ValueError, match="no samples"):
        rate(spec, tmp_path / "out")


def test_bfloat16_is_near_float32(spec: RatingSpec, tmp_path: Path):
    rate(spec, tmp_path / "wide")
    rate(changed(spec, dtype="bfloat16"), tmp_path / "narrow")
    wide, narrow = read_ratings(tmp_path / "wide"), read_ratings(tmp_path / "narrow")
    np.testing.assert_allclose(narrow["probabilities"].to_pylist(), wide["probabilities"].to_pylist(), rtol=0.3)
