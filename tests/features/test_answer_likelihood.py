"""The shared pass against a slow loop that runs one sample at a time and makes all logits."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from selection_platform.errors import NotFinite
from selection_platform.features.answer_likelihood import LikelihoodSpec, score
from selection_platform.features.token_count import Boundary
from selection_platform.models import forward_pass
from selection_platform.models.forward_pass import forward
from selection_platform.text.conversation import Message
from selection_platform.text.cuts import ScoringCut
from selection_platform.text.rendering import tokenize_last_answer, tokenize_last_answer_jointly
from tests.shards import shard_bytes, shard_rows
from tests.specs import changed, shared_pass
from tests.tiny import CONFIGS, cut_apart, long_samples, random_samples, save_model, write_samples


@pytest.fixture
def spec(tmp_path: Path) -> LikelihoodSpec:
    """A job with 24 samples: 4 shards, and batches of a few rows."""
    save_model(tmp_path / "model", CONFIGS["llama"])
    write_samples(tmp_path / "samples.parquet", random_samples(24))
    return shared_pass(tmp_path)


def run_alone(model, ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """NLL of tokens 2..n in float64, and last hidden states, of one sequence."""
    if not ids:
        return np.zeros(0), np.zeros((0, 1))
    with torch.no_grad():
        output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    log_probability = torch.log_softmax(output.logits[0].double(), dim=-1)
    nll = [-log_probability[t - 1, ids[t]].item() for t in range(1, len(ids))]
    return np.array(nll), output.hidden_states[-1][0].numpy()


def unshifted_nll(model, ids: list[int]) -> np.ndarray:
    """NLL of each token by the logits at its own place, as the published entropy script has it."""
    with torch.no_grad():
        log_probability = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
    return np.array([-log_probability[place, token].item() for place, token in enumerate(ids)])


def reference(model, tokenizer, messages: list[Message], max_length: int, boundary: Boundary, cut: ScoringCut) -> dict:
    tokenize = tokenize_last_answer if boundary == "pieces" else tokenize_last_answer_jointly
    last = tokenize(messages, tokenizer)
    prompt, answer = cut_apart(last.prompt, last.answer, len(last.cue), max_length, cut)
    _, direct_answer = cut_apart(last.prompt, last.answer_after_cue, len(last.cue), max_length, cut)
    nll, hidden = run_alone(model, prompt + answer)
    direct_nll, _ = run_alone(model, last.cue + direct_answer)
    nonzero = sum(token != 0 for token in prompt)
    return {
        "prompt_tokens": len(prompt),
        "answer_tokens": len(answer),
        "direct_answer_tokens": len(direct_answer),
        "unshifted_answer_tokens": len(prompt + answer) - nonzero,
        "prompt_nll": run_alone(model, prompt)[0].sum(),  # a pass of the prompt's own
        "answer_nll": nll[len(prompt) - 1 :].sum() if answer else None,
        "direct_answer_nll": direct_nll[len(last.cue) - 1 :].sum() if direct_answer else None,
        "unshifted_answer_nll": unshifted_nll(model, prompt + answer)[nonzero:].sum() if answer else None,
        "truncated": len(answer) < len(last.answer),
        "prompt_cut": len(last.prompt) - len(prompt),
        "answer_cut": len(last.answer) - len(answer),
        "embedding": hidden.mean(axis=0),
        "prompt_embedding": run_alone(model, prompt)[1].mean(axis=0),
    }


@pytest.mark.parametrize(
    ("architecture", "boundary", "cut"),
    [
        ("llama", "pieces", "prompt_start"),
        ("qwen2", "pieces", "prompt_start"),
        ("gpt2", "pieces", "answer_end"),
        ("llama", "joint", "answer_end"),
    ],
)
def test_equals_one_sample_at_a_time(
    architecture: str, boundary: Boundary, cut: ScoringCut, spec: LikelihoodSpec, tmp_path: Path
):
    folder = tmp_path / architecture
    model = save_model(folder, CONFIGS[architecture])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    samples = {**random_samples(24), **long_samples()}
    write_samples(Path(spec.samples_file), samples)
    other = changed(spec, model_folder=str(folder), boundary=boundary, prompt_embedding=True, cut=cut)
    summary = score(other, tmp_path / "out")
    scores = {row["sample_id"]: row for row in shard_rows(tmp_path / "out").to_pylist()}
    assert scores.keys() == samples.keys()
    expected = {name: reference(model, tokenizer, messages, 60, boundary, cut) for name, messages in samples.items()}
    for name, wanted in expected.items():
        for column, value in wanted.items():
            close = value if value is None else pytest.approx(value, rel=1e-5, abs=1e-4)
            assert scores[name][column] == close, (name, column)
    assert summary.truncated == sum(wanted["truncated"] for wanted in expected.values()) > 0
    assert summary.cut_prompts == sum(wanted["prompt_cut"] > 0 for wanted in expected.values()) > 0
    fills = sum(w["answer_cut"] > 0 and not w["answer_tokens"] for w in expected.values())
    assert summary.prompt_fills_context == fills
    assert (fills > 0) == (cut == "answer_end")
    assert summary.empty_answers + summary.prompt_fills_context == sum(
        w["answer_nll"] is None for w in expected.values()
    )


def test_what_the_prompt_does_to_each_token_is_kept_by_the_same_pass(
    spec: LikelihoodSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    passes: list[torch.Size] = []
    run = forward_pass.last_hidden_state

    def counted(model, tokens):
        passes.append(tokens.shape)
        return run(model, tokens)

    monkeypatch.setattr(forward_pass, "last_hidden_state", counted)
    model = save_model(tmp_path / "llama", CONFIGS["llama"])
    plain = changed(spec, model_folder=str(tmp_path / "llama"), weighted_embedding=True)
    score(plain, tmp_path / "without")
    without = len(passes)
    score(changed(plain, prompt_effect=True), tmp_path / "with")
    assert passes[without:] == passes[:without]
    # The files of the other kind are the same too, as what is made of them is known by their bytes.
    for name in ("part-*", "apart-*"):
        one, other = (
            [path.read_bytes() for path in sorted((tmp_path / each).glob(name))] for each in ("with", "without")
        )
        assert one == other != []
    assert not list((tmp_path / "without").glob("apart.prompt_effect-*"))
    scores = {row["sample_id"]: row for row in shard_rows(tmp_path / "with").to_pylist()}
    kept = [
        row
        for path in sorted((tmp_path / "with").glob("apart.prompt_effect-*"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert [row["sample_id"] for row in kept] == list(scores)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "llama")
    samples = random_samples(24)
    for row in kept:
        of_sample = scores[row["sample_id"]]
        if of_sample["answer_nll"] is None:
            assert row["prompt_effect"] is None
            continue
        last = tokenize_last_answer(samples[row["sample_id"]], tokenizer)
        prompt, answer = cut_apart(last.prompt, last.answer, len(last.cue), 60, "prompt_start")
        joint, alone = (run_alone(model, [*before, *answer])[0][-len(answer) :] for before in (prompt, last.cue))
        assert row["prompt_effect"] == pytest.approx(joint - alone, abs=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_position_weighted_embeddings_are_kept_beside_the_shards_by_the_same_pass(
    architecture: str, spec: LikelihoodSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / architecture
    model = save_model(folder, CONFIGS[architecture])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = changed(spec, model_folder=str(folder))
    passes: list[torch.Size] = []
    run = forward_pass.last_hidden_state

    def counted(model, tokens):
        passes.append(tokens.shape)
        return run(model, tokens)

    monkeypatch.setattr(forward_pass, "last_hidden_state", counted)
    score(plain, tmp_path / "without")
    without = len(passes)
    score(changed(plain, weighted_embedding=True), tmp_path / "with")
    assert passes[without:] == passes[:without]
    assert shard_bytes(tmp_path / "with") == shard_bytes(tmp_path / "without")
    manifests = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("with", "without"))
    assert len({manifest["content_hash"] for manifest in manifests}) == 1
    kept = [row for path in sorted((tmp_path / "with").glob("apart-*")) for row in pq.read_table(path).to_pylist()]
    assert [row["sample_id"] for row in kept] == shard_rows(tmp_path / "with")["sample_id"].to_pylist()
    assert not list((tmp_path / "without").glob("apart-*"))
    for row in kept:
        last = tokenize_last_answer(random_samples(24)[row["sample_id"]], tokenizer)
        prompt, answer = cut_apart(last.prompt, last.answer, len(last.cue), 60, "prompt_start")
        tokens = prompt + answer
        hidden, expected = run_alone(model, tokens)[1], np.zeros(32)
        for place, state in enumerate(hidden, start=1):
            expected += place * state.astype(np.float64)
        assert row["weighted_embedding"] == pytest.approx(expected / sum(range(1, len(tokens) + 1)), rel=1e-4, abs=1e-5)


def test_a_prompt_longer_than_the_window_leaves_the_answer_whole(spec: LikelihoodSpec, tmp_path: Path):
    samples = long_samples()
    write_samples(Path(spec.samples_file), samples)
    summary = score(spec, tmp_path / "out")
    rows = {row["sample_id"]: row for row in shard_rows(tmp_path / "out").to_pylist()}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    cue = len(tokenizer.encode("Assistant: "))
    whole = len(tokenizer.encode("the hat"))
    assert {name: (row["prompt_tokens"], row["answer_tokens"]) for name, row in rows.items()} == {
        "prompt": (60 - whole, whole),
        # The cue stays before an answer that is longer than the window.
        "answer": (cue, 60 - cue),
        "both": (cue, 60 - cue),
    }
    assert all(math.isfinite(row["answer_nll"] / row["direct_answer_nll"]) for row in rows.values())
    assert [name for name, row in rows.items() if row["truncated"]] == ["answer", "both"]
    counts = (summary.cut_prompts, summary.truncated, summary.prompt_fills_context, summary.empty_answers)
    assert counts == (3, 2, 0, 0)


def test_a_model_of_equal_chances_gives_the_logarithm_of_its_vocabulary(spec: LikelihoodSpec, tmp_path: Path):
    model = save_model(tmp_path / "model", CONFIGS["llama"])
    model.lm_head.weight.data.zero_()
    model.save_pretrained(tmp_path / "model")
    write_samples(
        tmp_path / "samples.parquet",
        {
            "a": [Message("user", "zzzz"), Message("assistant", "qqq")],
            "b": [Message("user", "z" * 60), Message("assistant", "q")],
            "c": [Message("user", "z"), Message("assistant", "")],
        },
    )
    summary = score(changed(spec, cut="answer_end"), tmp_path / "out")
    b, a, c = shard_rows(tmp_path / "out").drop(["embedding"]).to_pylist()  # longest first
    assert a["answer_tokens"] == 3
    assert a["answer_nll"] == pytest.approx(3 * math.log(300))
    assert a["direct_answer_nll"] == pytest.approx(3 * math.log(300))
    assert a["prompt_nll"] == pytest.approx((a["prompt_tokens"] - 1) * math.log(300))
    assert not a["truncated"]
    assert (b["prompt_tokens"], b["answer_tokens"], b["truncated"]) == (60, 0, True)
    assert b["answer_nll"] is None
    assert b["direct_answer_nll"] is None
    assert b["prompt_nll"] == pytest.approx(59 * math.log(300))
    assert (c["answer_tokens"], c["answer_nll"], c["truncated"]) == (0, None, False)
    assert (summary.samples, summary.truncated, summary.prompt_fills_context, summary.empty_answers) == (3, 1, 1, 1)
    cue = len(AutoTokenizer.from_pretrained(tmp_path / "model").encode("Assistant: "))
    assert summary.tokens == a["prompt_tokens"] + 3 + 60 + c["prompt_tokens"] + cue + 3


def test_a_prompt_of_one_token_has_no_nll_of_its_own(tmp_path: Path):
    model = save_model(tmp_path, CONFIGS["llama"])
    (only, other), hidden = (result := forward(model, [np.array([7]), np.array([7, 8])], 1, 4)).nll, result.mean_hidden
    assert only.tolist() == []
    assert other == pytest.approx(run_alone(model, [7, 8])[0], rel=1e-5)
    assert hidden[0] == pytest.approx(run_alone(model, [7])[1][0], abs=1e-5)


@pytest.mark.slow
def test_neighbours_in_a_batch_and_chunks_of_logits_change_nothing(spec: LikelihoodSpec, tmp_path: Path):
    score(spec, tmp_path / "together")
    # 60 tokens a batch: nearly every sample alone.
    score(changed(spec, tokens_per_batch=60, logit_rows=1, samples_per_shard=1), tmp_path / "alone")
    together, alone = shard_rows(tmp_path / "together"), shard_rows(tmp_path / "alone")
    assert together["sample_id"] == alone["sample_id"]
    for column in ("prompt_nll", "answer_nll", "direct_answer_nll"):
        np.testing.assert_allclose(together[column].to_numpy(), alone[column].to_numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(together["embedding"].to_pylist(), alone["embedding"].to_pylist(), rtol=0, atol=1e-4)


def test_bfloat16_is_near_float32(spec: LikelihoodSpec, tmp_path: Path):
    score(spec, tmp_path / "wide")
    score(changed(spec, dtype="bfloat16"), tmp_path / "narrow")
    wide, narrow = shard_rows(tmp_path / "wide"), shard_rows(tmp_path / "narrow")
    np.testing.assert_allclose(narrow["prompt_nll"].to_numpy(), wide["prompt_nll"].to_numpy(), rtol=0.03)


def ifd(folder: Path) -> np.ndarray:
    """In the order of ids, of the samples that have one."""
    table = shard_rows(folder).sort_by("sample_id")
    answer, alone = (table[name].drop_null().to_numpy() for name in ("answer_nll", "direct_answer_nll"))
    return answer / alone


@pytest.mark.slow
def test_half_precision_and_other_batches_change_ifd_by_little_of_its_spread(spec: LikelihoodSpec, tmp_path: Path):
    half = changed(spec, dtype="bfloat16")
    score(spec, tmp_path / "float32")
    score(half, tmp_path / "half")
    # Nearly every sample alone.
    score(changed(half, tokens_per_batch=60), tmp_path / "alone")
    single, together, alone = (ifd(tmp_path / name) for name in ("float32", "half", "alone"))
    # Measured: 0.019 and 0.003. A random model rounds more than a trained one: 0.002 for the demo's.
    assert np.std(together - single) <= 0.03 * np.std(single)
    assert np.std(alone - together) <= 0.005 * np.std(single)


def test_shards_are_in_the_order_of_length_and_padding_is_counted(spec: LikelihoodSpec, tmp_path: Path):
    summary = score(spec, tmp_path / "out")
    scores = shard_rows(tmp_path / "out")
    keys = [(-row["prompt_tokens"] - row["answer_tokens"], row["sample_id"]) for row in scores.to_pylist()]
    assert keys == sorted(keys)
    assert [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "out").glob("part-*"))] == [7, 7, 7, 3]
    assert 0 < summary.padding_share < 0.5
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cut",
        "files.json",
        "job.json",
        "manifest.json",
        *(f"part-{number:05d}.parquet" for number in range(4)),
    ]


def test_resumes_to_the_same_bytes(spec: LikelihoodSpec, tmp_path: Path):
    summary = score(spec, tmp_path / "out")
    whole = shard_bytes(tmp_path / "out")
    for name in ("manifest.json", "part-00002.parquet", "part-00003.parquet"):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / ".part-00002.parquet.partial").write_bytes(b"half")
    kept = (tmp_path / "out/part-00001.parquet").stat().st_mtime_ns
    again = score(spec, tmp_path / "out")
    assert shard_bytes(tmp_path / "out") == whole
    assert (tmp_path / "out/part-00001.parquet").stat().st_mtime_ns == kept
    assert (again.tokens, again.padding_share, again.truncated) == (
        summary.tokens,
        summary.padding_share,
        summary.truncated,
    )
    for name in ("manifest.json", "part-00000.parquet", "part-00002.parquet", "part-00003.parquet"):
        (tmp_path / "out" / name).unlink()
    score(spec, tmp_path / "out")
    assert shard_bytes(tmp_path / "out") == whole


@pytest.mark.slow  # another process has to import torch
def test_a_killed_process_goes_on_to_the_same_bytes(spec: LikelihoodSpec, tmp_path: Path):
    script = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1); "
        "from selection_platform.features.answer_likelihood import LikelihoodSpec, score; "
        "score(LikelihoodSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
    )
    one_a_shard = changed(spec, samples_per_shard=1, logit_rows=1)
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", script, one_a_shard.model_dump_json(), str(out)])
    deadline = time.monotonic() + 60
    while not (out / "part-00003.parquet").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(shard_bytes(out))
    assert 4 <= before < 24
    assert not (out / "manifest.json").exists()
    score(one_a_shard, out)
    score(one_a_shard, tmp_path / "uninterrupted")
    assert shard_bytes(out) == shard_bytes(tmp_path / "uninterrupted")


def test_a_job_is_known_by_content_and_not_by_path(spec: LikelihoodSpec, tmp_path: Path):
    summary = score(spec, tmp_path / "out")
    shutil.copytree(tmp_path / "model", tmp_path / "moved")
    config = json.loads((tmp_path / "moved/config.json").read_text())
    (tmp_path / "moved/config.json").write_text(json.dumps(config | {"_name_or_path": "/elsewhere"}))
    shutil.copy(tmp_path / "samples.parquet", tmp_path / "moved.parquet")
    moved = changed(spec, model_folder=str(tmp_path / "moved"), samples_file=str(tmp_path / "moved.parquet"))
    assert score(moved, tmp_path / "out") == summary  # the same seconds: nothing ran
    assert score(changed(moved, max_length=50), tmp_path / "out").seconds != summary.seconds
    save_model(tmp_path / "moved", CONFIGS["llama"], seed=1)
    first = shard_rows(tmp_path / "out")["answer_nll"]
    score(changed(moved, max_length=50), tmp_path / "out")
    assert shard_rows(tmp_path / "out")["answer_nll"] != first


def test_nan_names_the_sample(spec: LikelihoodSpec, tmp_path: Path):
    model = save_model(tmp_path / "model", CONFIGS["llama"])
    (token,) = AutoTokenizer.from_pretrained(tmp_path / "model").encode("X")
    model.model.embed_tokens.weight.data[token] = math.nan
    model.save_pretrained(tmp_path / "model")
    samples = {
        "healthy": [Message("user", "the cat sat on the mat"), Message("assistant", "a hat")],
        "sick": [Message("user", "cat"), Message("assistant", "X")],
    }
    write_samples(tmp_path / "samples.parquet", samples)
    with pytest.raises(NotFinite, match="sample sick in float32"):
        score(spec, tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


def test_refuses_impossible_jobs(spec: LikelihoodSpec, tmp_path: Path):
    with pytest.raises(ValueError, match="128 positions"):
        score(changed(spec, max_length=129, tokens_per_batch=256), tmp_path / "out")
    with pytest.raises(ValueError, match="tokens_per_batch 59"):
        score(changed(spec, tokens_per_batch=59), tmp_path / "out")
    write_samples(tmp_path / "samples.parquet", {})
    with pytest.raises(ValueError, match="no samples"):
        score(spec, tmp_path / "out")
    write_samples(tmp_path / "one.parquet", {"twin": [Message("user", "a"), Message("assistant", "b")]})
    one = pq.read_table(tmp_path / "one.parquet")
    pq.write_table(pa.concat_tables([one, one]), tmp_path / "samples.parquet")
    with pytest.raises(ValueError, match="'twin' occurs more than once"):
        score(spec, tmp_path / "out")
