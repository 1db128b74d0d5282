"""Influence against a plain loop: one sample at a time, all logits, autograd through the whole model."""

import itertools
import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from selection_platform.errors import NotFinite
from selection_platform.job.folder import FILES
from selection_platform.methods.less import influence_pass
from selection_platform.methods.less.gradient_influence import InfluenceSpec, measure
from selection_platform.methods.less.influence_pass import batch_influence
from selection_platform.methods.less.warmed_up import load_warmed_up
from selection_platform.models.loading import base_model_folder
from selection_platform.text.conversation import Message
from selection_platform.text.cuts import ScoringCut
from selection_platform.text.rendering import tokenize_last_answer
from selection_platform.training.epoch_snapshots import MOMENTS_FILE, EpochSnapshot, epoch_snapshots
from selection_platform.training.fine_tuning import fine_tune
from tests.shards import shard_bytes, shard_rows
from tests.specs import changed, made
from tests.tiny import CONFIGS, cut_apart, long_samples, random_samples, write_samples
from tests.warm_ups import warm_up_spec

MAX_LENGTH = 60
Vector = torch.Tensor


@pytest.fixture(scope="module")
def warm_ups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished warm-up of two epochs for each architecture; nothing may write into it."""
    folders = {}
    for name in ("llama", "qwen2"):
        folder = tmp_path_factory.mktemp(name)
        fine_tune(warm_up_spec(folder, CONFIGS[name]), folder / "warm")
        folders[name] = folder / "warm"
    return folders


def write_targets(path: Path, groups: dict[str, list[str]], samples: dict[str, list[Message]]) -> None:
    """Rows of the samples that the groups name."""
    rows = [(name, group) for group, names in groups.items() for name in names]
    write_samples(path, {str(index): samples[name] for index, (name, _) in enumerate(rows)})
    table = pq.read_table(path).drop(["sample_id"])
    table = table.append_column("sample_id", pa.array([name for name, _ in rows]))
    pq.write_table(table.append_column("target", pa.array([group for _, group in rows])), path)


# s010 is in two groups and is cut off; the prompt of s009 fills the window.
GROUPS = {"z/one": ["s002"], "a/some": ["s001", "s004", "s009", "s010"], "a/others": ["s010", "s012", "s014"]}


@pytest.fixture
def spec(warm_ups: dict[str, Path], tmp_path: Path) -> InfluenceSpec:
    """24 samples, two epochs: 8 shards, and batches of a few rows. Some are cut off, some have no answer left.

    Of s019, whose answer is empty, the end-of-sequence token is left.
    """
    samples = random_samples(24)
    write_samples(tmp_path / "samples.parquet", samples)
    write_targets(tmp_path / "targets.parquet", GROUPS, samples)
    return made(
        InfluenceSpec,
        warmup_folder=str(warm_ups["llama"]),
        samples_file=str(tmp_path / "samples.parquet"),
        targets_file=str(tmp_path / "targets.parquet"),
        directions=("adam", "published"),
        max_length=MAX_LENGTH,
        tokens_per_batch=256,
        logit_rows=50,
        samples_per_shard=7,
        cut="answer_end",
    )


class Plain:
    """LESS as one would write it down."""

    def __init__(self, snapshot: EpochSnapshot, cut: ScoringCut = "answer_end"):
        self.cut: ScoringCut = cut
        folder = snapshot.folder
        base = AutoModelForCausalLM.from_pretrained(base_model_folder(folder))
        self.model = PeftModel.from_pretrained(base, str(folder), is_trainable=True).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        state = load_file(folder / MOMENTS_FILE)
        self.first, self.second = (
            torch.cat([state[f"{name}.{moment}"].flatten() for name in self.trained])
            for moment in ("exp_avg", "exp_avg_sq")
        )
        self.step = snapshot.adam_steps + 1

    def gradient(self, messages: list[Message], *, with_end: bool = True) -> Vector | None:
        last = tokenize_last_answer(messages, self.tokenizer)
        end = [self.tokenizer.eos_token_id] if with_end else []
        prompt, answer = cut_apart(last.prompt, last.answer + end, len(last.cue), MAX_LENGTH, self.cut)
        if not answer:
            return None
        self.model.zero_grad()
        logits = self.model(input_ids=torch.tensor([prompt + answer])).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer))
        loss.backward()
        return torch.cat([p.grad.flatten() for p in self.trained.values() if p.grad is not None]).double()

    def direction(self, g: Vector, form: str) -> Vector:
        m, v = 0.9 * self.first + 0.1 * g, 0.999 * self.second + 0.001 * g**2
        if form == "published":
            return m / torch.sqrt(v + 1e-8)
        return (m / (1 - 0.9**self.step)) / (torch.sqrt(v / (1 - 0.999**self.step)) + 1e-8)


def mean_cosine(step: Vector, goals: list[Vector | None]) -> float:
    """Over those that there are."""
    cosines = [torch.cosine_similarity(step, goal, dim=0).item() for goal in goals if goal is not None]
    return sum(cosines) / len(cosines)


@pytest.mark.parametrize(("architecture", "cut"), [("llama", "answer_end"), ("qwen2", "prompt_start")])
def test_equals_autograd_of_one_sample_at_a_time(
    architecture: str, cut: ScoringCut, warm_ups: dict[str, Path], spec: InfluenceSpec, tmp_path: Path
):
    folder = warm_ups[architecture]
    samples = {**random_samples(24), **long_samples()}
    write_samples(Path(spec.samples_file), samples)
    summary = measure(changed(spec, warmup_folder=str(folder), cut=cut), tmp_path / "out")
    table = shard_rows(tmp_path / "out")
    found = {
        (row["sample_id"], row["epoch"], row["direction"], row["target"]): row["influence"] for row in table.to_pylist()
    }
    expected: dict[Any, float | None] = {}
    for snapshot in epoch_snapshots(folder):
        plain = Plain(snapshot, cut)
        gradients = {name: plain.gradient(messages) for name, messages in samples.items()}
        for form, (name, gradient) in itertools.product(("adam", "published"), gradients.items()):
            step = None if gradient is None else plain.direction(gradient, form)
            for group, goals in GROUPS.items():
                influence = None if step is None else mean_cosine(step, [gradients[goal] for goal in goals])
                expected[name, snapshot.epoch, form, group] = influence
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == (None if value is None else pytest.approx(value, abs=2e-5)), key
    values = [value for value in expected.values() if value is not None]
    assert max(values) - min(values) > 0.2  # so that the tolerance tells samples apart
    assert (summary.samples, summary.epochs, summary.targets) == (27, 2, 3)
    assert (summary.target_samples, summary.target_samples_dropped) == ((6, 1) if cut == "answer_end" else (7, 0))
    assert summary.truncated > summary.prompt_fills_context
    assert (summary.prompt_fills_context > 0) == (cut == "answer_end")
    assert summary.cut_prompts > 0
    assert table["influence"].null_count == 12 * summary.prompt_fills_context
    assert expected["s019", 1, "adam", "z/one"] is not None


def test_the_end_of_sequence_token_counts_in_samples_and_in_targets(
    spec: InfluenceSpec, warm_ups: dict[str, Path], tmp_path: Path
):
    asked = [Message("user", "the cat sat")]
    samples = {"short": [*asked, Message("assistant", "a hat")], "silent": [*asked, Message("assistant", "")]}
    write_samples(tmp_path / "samples.parquet", samples)
    write_targets(tmp_path / "targets.parquet", {name: [name] for name in samples}, samples)
    summary = measure(changed(spec, directions=("published",)), tmp_path / "out")
    found = {
        (row["sample_id"], row["target"]): row["influence"]
        for row in shard_rows(tmp_path / "out").to_pylist()
        if row["epoch"] == 1
    }
    plain = Plain(epoch_snapshots(warm_ups["llama"])[0])

    def influence(one: str, other: str, sample_end: bool = True, target_end: bool = True) -> float:
        gradient = plain.gradient(samples[one], with_end=sample_end)
        assert gradient is not None
        return mean_cosine(
            plain.direction(gradient, "published"), [plain.gradient(samples[other], with_end=target_end)]
        )

    for pair, value in found.items():
        assert value == pytest.approx(influence(*pair), abs=2e-5), pair
    # Without the token, on one side or the other, it is another number, by far more than the tolerance.
    assert abs(found["short", "silent"] - influence("short", "silent", sample_end=False)) > 1e-3
    assert abs(found["silent", "short"] - influence("silent", "short", target_end=False)) > 1e-3
    lengths = [len(tokenize_last_answer(messages, plain.tokenizer).prompt) for messages in samples.values()]
    answer = len(tokenize_last_answer(samples["short"], plain.tokenizer).answer)
    assert (summary.tokens, summary.truncated) == (sum(lengths) + answer + 2, 0)


@pytest.mark.slow
def test_columns_and_order(spec: InfluenceSpec, tmp_path: Path):
    measure(spec, tmp_path / "out")
    table = shard_rows(tmp_path / "out")
    assert table.schema == pa.schema(
        [
            ("sample_id", pa.string()),
            ("epoch", pa.int32()),
            ("direction", pa.string()),
            ("target", pa.string()),
            ("influence", pa.float64()),
            ("mean_learning_rate", pa.float64()),
        ]
    )
    assert len(table) == 24 * 2 * 2 * 3
    assert table["epoch"].to_pylist() == [1] * 144 + [2] * 144
    rates = {row["epoch"]: row["mean_learning_rate"] for row in table.to_pylist()}
    assert rates == pytest.approx({1: 3e-3 * 5 / 6, 2: 3e-3 * 2 / 6})
    assert table["target"].to_pylist()[:3] == ["a/others", "a/some", "z/one"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cut",
        "files.json",
        "job.json",
        "manifest.json",
        *(f"part-{number:05d}.parquet" for number in range(8)),
    ]


@pytest.mark.slow
def test_neighbours_in_a_batch_and_chunks_change_nothing(
    spec: InfluenceSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    measure(spec, tmp_path / "together")
    monkeypatch.setattr("selection_platform.methods.less.sample_gradients._CPU_CHUNK", 1)
    measure(changed(spec, tokens_per_batch=MAX_LENGTH, logit_rows=1, samples_per_shard=1), tmp_path / "alone")
    together, alone = (shard_rows(tmp_path / name).to_pandas() for name in ("together", "alone"))
    assert together.drop(columns="influence").equals(alone.drop(columns="influence"))
    np.testing.assert_allclose(together["influence"], alone["influence"], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_one_direction_alone_gives_what_it_gives_beside_the_other(spec: InfluenceSpec, tmp_path: Path):
    measure(spec, tmp_path / "both")
    measure(changed(spec, directions=("published",)), tmp_path / "one")
    both, one = (shard_rows(tmp_path / name).to_pylist() for name in ("both", "one"))
    assert [row for row in both if row["direction"] == "published"] == one


@pytest.mark.slow
def test_bfloat16_is_near_float32(spec: InfluenceSpec, tmp_path: Path):
    measure(spec, tmp_path / "wide")
    measure(changed(spec, dtype="bfloat16"), tmp_path / "narrow")
    wide, narrow = (shard_rows(tmp_path / name)["influence"].drop_null().to_numpy() for name in ("wide", "narrow"))
    assert np.corrcoef(wide, narrow)[0, 1] > 0.99
    np.testing.assert_allclose(narrow, wide, atol=0.1)


@pytest.mark.slow
def test_a_step_along_the_best_sample_lowers_the_targets_loss(
    spec: InfluenceSpec, warm_ups: dict[str, Path], tmp_path: Path
):
    """The sign: higher influence helps."""
    measure(spec, tmp_path / "out")
    plain = Plain(epoch_snapshots(warm_ups["llama"])[1])
    samples = random_samples(24)
    rows = [
        row
        for row in shard_rows(tmp_path / "out").to_pylist()
        if (row["epoch"], row["direction"], row["target"]) == (2, "adam", "z/one") and row["influence"] is not None
    ]
    ranked = [row["sample_id"] for row in sorted(rows, key=lambda row: row["influence"])]
    goal = plain.gradient(samples["s002"])
    changes = []
    assert goal is not None
    for name in (ranked[0], ranked[-1]):
        gradient = plain.gradient(samples[name])
        assert gradient is not None
        step = plain.direction(gradient, "adam")
        changes.append(float(-step @ goal / step.norm()))
    assert changes[1] < changes[0]


@pytest.mark.slow
def test_resumes_to_the_same_bytes(spec: InfluenceSpec, tmp_path: Path):
    summary = measure(spec, tmp_path / "out")
    whole = shard_bytes(tmp_path / "out")
    for name in ("manifest.json", "part-00002.parquet", "part-00006.parquet", "part-00007.parquet"):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out/.part-00002.parquet.partial").write_bytes(b"half")
    kept = (tmp_path / "out/part-00001.parquet").stat().st_mtime_ns
    again = measure(spec, tmp_path / "out")
    assert shard_bytes(tmp_path / "out") == whole
    assert (tmp_path / "out/part-00001.parquet").stat().st_mtime_ns == kept
    counts = [
        {key: value for key, value in asdict(each).items() if "seconds" not in key and "memory" not in key}
        for each in (summary, again)
    ]
    assert counts[0] == counts[1]


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


@pytest.mark.slow
def test_a_killed_job_goes_on_to_the_same_bytes(spec: InfluenceSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    measure(spec, tmp_path / "uninterrupted")
    batches = itertools.count()

    def killed_in_the_second_epoch(*arguments: Any) -> np.ndarray:
        if next(batches) == 9:
            raise Killed
        return batch_influence(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(influence_pass, "batch_influence", killed_in_the_second_epoch)
        with pytest.raises(Killed):
            measure(spec, tmp_path / "out")
    before = shard_bytes(tmp_path / "out")
    assert 4 < len(before) < 8
    assert not (tmp_path / "out/manifest.json").exists()
    measure(spec, tmp_path / "out")
    assert shard_bytes(tmp_path / "out") == shard_bytes(tmp_path / "uninterrupted")


@pytest.mark.slow
def test_a_job_is_known_by_content_and_not_by_path(spec: InfluenceSpec, warm_ups: dict[str, Path], tmp_path: Path):
    summary = measure(spec, tmp_path / "out")
    shutil.copytree(warm_ups["llama"].parent, tmp_path / "moved")
    shutil.copy(spec.samples_file, tmp_path / "moved.parquet")
    moved = changed(spec, warmup_folder=str(tmp_path / "moved/warm"), samples_file=str(tmp_path / "moved.parquet"))
    assert measure(moved, tmp_path / "out") == summary  # the same seconds: nothing ran
    manifest = json.loads((tmp_path / "moved/warm/epoch-1/manifest.json").read_text())
    manifest["adam_steps"] += 1
    (tmp_path / "moved/warm/epoch-1/manifest.json").write_text(json.dumps(manifest))
    # As another warm-up would have recorded it.
    (tmp_path / "moved/warm" / FILES).unlink()
    assert measure(moved, tmp_path / "out").seconds != summary.seconds


def test_nan_names_the_sample(spec: InfluenceSpec, warm_ups: dict[str, Path], tmp_path: Path):
    shutil.copytree(warm_ups["llama"].parent, tmp_path / "broken")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "broken/base")
    (token,) = AutoTokenizer.from_pretrained(tmp_path / "broken/base").encode("X")
    base.model.embed_tokens.weight.data[token] = math.nan
    base.save_pretrained(tmp_path / "broken/base")
    samples = {
        "healthy": [Message("user", "the cat sat on the mat"), Message("assistant", "a hat")],
        "sick": [Message("user", "cat"), Message("assistant", "X!")],
    }
    write_samples(tmp_path / "samples.parquet", samples)
    write_targets(tmp_path / "targets.parquet", {"t": ["healthy"]}, samples)
    broken = changed(spec, warmup_folder=str(tmp_path / "broken/warm"))
    with pytest.raises(NotFinite, match="for sample sick; check"):
        measure(broken, tmp_path / "out")
    write_targets(tmp_path / "targets.parquet", {"t": ["healthy", "sick"]}, samples)
    with pytest.raises(NotFinite, match="for target sample sick"):
        measure(broken, tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


def test_refuses_impossible_jobs(spec: InfluenceSpec, tmp_path: Path):
    with pytest.raises(ValueError, match="expected one or more of adam, published"):
        measure(changed(spec, directions=()), tmp_path / "out")
    with pytest.raises(ValueError, match="each only once"):
        measure(changed(spec, directions=("adam", "adam")), tmp_path / "out")
    with pytest.raises(ValueError, match="dtype 'float16': expected one of float32, bfloat16"):
        measure(changed(spec, dtype="float16"), tmp_path / "out")
    with pytest.raises(ValueError, match="no finished training"):
        measure(changed(spec, warmup_folder=str(tmp_path)), tmp_path / "out")
    with pytest.raises(ValueError, match="128 positions"):
        measure(changed(spec, max_length=129), tmp_path / "out")
    write_targets(tmp_path / "targets.parquet", {"a": ["s001"], "b": ["s009"]}, random_samples(24))
    with pytest.raises(ValueError, match=r"no sample of target 'b' has an answer token within scoring\.max_length 60"):
        measure(spec, tmp_path / "out")


def test_refuses_adapters_of_other_layers(spec: InfluenceSpec, warm_ups: dict[str, Path], tmp_path: Path):
    shutil.copytree(warm_ups["llama"].parent, tmp_path / "odd")
    # The snapshots of another trainer, which recorded no files.
    for record in (tmp_path / "odd/warm").rglob(FILES):
        record.unlink()
    moments = tmp_path / "odd/warm/epoch-1" / MOMENTS_FILE
    for extra in ("base_model.model.lm_head", "base_model.model.model.embed_tokens", "base_model.model.model.norm"):
        state = load_file(tmp_path / "odd/warm/epoch-2" / MOMENTS_FILE)
        state |= {f"{extra}.weight.{moment}": torch.zeros(1) for moment in ("exp_avg", "exp_avg_sq")}
        save_file(state, moments)
        with pytest.raises(ValueError, match=f"{extra}.weight was trained; only adapters"):
            measure(changed(spec, warmup_folder=str(tmp_path / "odd/warm")), tmp_path / "out" / extra)


def test_a_layer_that_has_no_part_in_the_loss_is_an_error(warm_ups: dict[str, Path]):
    (first, _) = epoch_snapshots(warm_ups["llama"])
    loaded = load_warmed_up(first, ["adam"], dtype="float32", max_length=60, tokens_per_batch=60, logit_rows=10)
    runner = loaded.gradients
    runner.layers = {**runner.layers, "unused": torch.nn.Linear(2, 2)}
    with pytest.raises(ValueError, match="unused is used 0 times in the loss"):
        runner.run([np.array([1, 2, 3])], np.array([1]), lambda *_: None)
