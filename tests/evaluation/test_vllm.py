"""vLLM as the engine, with a pretend one (`pretend_vllm`) that runs our own process file, and with a real one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaConfig, Phi3Config

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.errors import NotFinite
from selection_platform.evaluation import engines, harness
from selection_platform.evaluation.engine import Continuation, TransformersEngine
from selection_platform.evaluation.engine_check import EnginesDisagree, Expected, Noted, compared
from selection_platform.evaluation.engine_names import engine_name, evaluated_with, mixed
from selection_platform.evaluation.harness import EVALUATION, evaluate
from selection_platform.evaluation.spec import EvaluationSpec, computations
from selection_platform.evaluation.vllm_engine import VllmEngine, VllmFailed, vllm_engine
from selection_platform.job.folder import read_manifest, write_manifest
from selection_platform.job.spec import write_spec
from selection_platform.models.loading import load_model
from selection_platform.models.renderers import load_renderer
from tests.small_run import change_profile, due, output_of
from tests.specs import changed, made
from tests.tiny import SIZES, save_model

PRETEND = Path(__file__).parent / "pretend_vllm" / "python.py"
REAL = "SELECTION_PLATFORM_VLLM"
"""Names the Python of an environment with vLLM, for the test with a real one."""
# A head of 32 numbers is the smallest that vLLM computes on a CPU.
CONFIG = LlamaConfig(**{**SIZES, "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1})


@pytest.fixture
def python(tmp_path) -> Callable[[str], str]:
    """Makes the Python of an environment with the pretend vLLM that has a fault."""

    def make(fault: str = "") -> str:
        path = tmp_path / f"python {fault}".replace("/", "-")
        script = "" if fault == "no vllm" else PRETEND
        path.write_text(f'#!/bin/sh\nPRETEND="{fault}" exec "{sys.executable}" {script} "$@"\n')
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, CONFIG)
    return folder


def asked(python: str) -> EvaluationSettings:
    return EvaluationSettings(engine="vllm", vllm_version="0.32.0", vllm_python=python)


@pytest.fixture
def spec(model, tmp_path, python) -> EvaluationSpec:
    """Four prompts to answer, two questions with letters, and two conversations."""
    data = tmp_path / "data"
    data.mkdir()
    questions = [{"question": f"Is {n} even?", "choices": ["yes", "no", "a", "the"], "answer": n % 2} for n in (4, 7)]
    (data / "mmlu.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    write_manifest(data, {})
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"the cat sat on {n} hats", "reference": str(n)} for n in range(4)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    messages = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat"}]
    pq.write_table(pa.table({"sample_id": ["x", "y"], "messages": [messages] * 2}), tmp_path / "held_out.parquet")
    return made(
        EvaluationSpec,
        model_folder=str(model),
        data_folder=str(data),
        evaluation=EvaluationSettings(
            benchmarks={
                "mine": BenchmarkSettings(file="prompts.jsonl", rule="exact", max_new_tokens=12),
                "mmlu": BenchmarkSettings(task="offline_mmlu"),
            },
            engine="vllm",
            vllm_version="0.32.0",
            vllm_python=python(),
        ),
        files={"mine": str(prompts)},
        held_out={"pool": str(tmp_path / "held_out.parquet")},
        text=PAPER,
        tokens_per_batch=512,
        max_length=64,
    )


def with_python(spec: EvaluationSpec, python: str) -> EvaluationSpec:
    return changed(spec, vllm_python=python)


def with_transformers(spec: EvaluationSpec) -> EvaluationSpec:
    return changed(spec, engine="transformers", vllm_version=None, vllm_python=None)


def rows_of(folder: Path):
    """The items without last digits, and the model's answers."""
    rows = pq.read_table(folder / "items.parquet").to_pylist()
    return [{**row, "correct": pytest.approx(row["correct"], abs=1e-6)} for row in rows]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "vllm", "vllm_python": "/v/python"}, "vllm_version: `engine: vllm` needs it"),
        ({"engine": "vllm", "vllm_version": "0.32.0"}, "vllm_python: `engine: vllm` needs it"),
        ({"vllm_version": "0.32.0"}, "vllm_version: is for `engine: vllm`"),
        ({"engine": "vllm", "vllm_version": "1", "vllm_python": "env/python"}, "not an absolute path"),
    ],
)
def test_settings_of_vllm_are_whole_or_left_out(settings, message):
    with pytest.raises(ValidationError, match=message):
        EvaluationSettings.model_validate(settings)


def test_an_engine_counts_with_its_version_and_not_with_its_place():
    plain, one = EvaluationSettings(), asked("/a/python")
    assert not [name for name in plain.content() if name.startswith(("engine", "vllm"))]
    assert computations(plain) == ("evaluation",)
    assert {**asked("/b/python").content(), "engine": "vllm", "vllm_version": "0.32.0"} == one.content()
    assert "vllm_python" not in one.content()
    assert "vllm_engine" in computations(one)


@pytest.mark.parametrize("benchmarks", [{}, {"code": {"task": "offline_humaneval"}}])
def test_an_engine_that_answers_nothing_does_not_count(benchmarks):
    settings = EvaluationSettings.model_validate({**asked("/a/python").model_dump(), "benchmarks": benchmarks})
    assert "vllm_engine" not in computations(settings)
    assert engine_name(settings).startswith("transformers ")
    sandboxed = settings.model_copy(update={"run_generated_code": "sandboxed"})
    assert engine_name(sandboxed) == ("vllm 0.32.0" if benchmarks else engine_name(settings))


@pytest.mark.slow
def test_both_engines_answer_and_score_alike(model, python):
    settings = asked(python())
    loaded, _ = load_model(model, device="cpu")
    renderer = load_renderer(model, PAPER)
    ours = TransformersEngine(loaded, renderer, 2)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(1, 200, (length,), generator=generator).tolist() for length in (3, 40, 9, 108)]
    # The last prompt and its answer are as long as the model takes; so is its row without the answer's last token.
    continuations = [Continuation(row, row[:count]) for row in rows for count in (1, 2, 21)]
    with vllm_engine(settings, model, "float32", renderer) as theirs:
        for stops in ((), ("a", "Human")):
            assert dict(theirs.generate(rows, 20, stops)) == dict(ours.generate(rows, 20, stops))
        scored, expected = dict(theirs.log_likelihoods(continuations)), dict(ours.log_likelihoods(continuations))
        assert scored.keys() == expected.keys() == set(range(12))
        assert all(
            scored[place] == (pytest.approx(expected[place][0], abs=1e-4), expected[place][1]) for place in scored
        )
        assert list(theirs.generate([], 3, ())) == list(theirs.log_likelihoods([])) == []
        with pytest.raises(VllmFailed, match="take 141 tokens, and vLLM has memory for 129"):
            list(theirs.generate([[1] * 121], 20, ()))


@pytest.mark.slow
def test_an_evaluation_has_the_results_of_transformers_and_says_who_answered(spec, tmp_path):
    evaluate(with_transformers(spec), tmp_path / "ours")
    evaluate(spec, tmp_path / "theirs")
    assert rows_of(tmp_path / "theirs") == rows_of(tmp_path / "ours")
    manifest = read_manifest(tmp_path / "theirs") or {}
    assert manifest["engine"] == "vllm 0.32.0"
    difference = manifest["agreement"].pop("largest_difference")
    assert 0 <= difference < 1e-5
    # Two questions with four letters each, and four prompts.
    assert manifest["agreement"] == {"answers": 4, "equal_answers": 4, "scored": 12}
    assert not (tmp_path / "theirs" / ".model").exists()
    assert not EVALUATION.is_complete(with_transformers(spec), tmp_path / "theirs")
    assert not EVALUATION.is_complete(changed(spec, vllm_version="0.33.0"), tmp_path / "theirs")
    assert EVALUATION.is_complete(with_python(spec, "/elsewhere/python"), tmp_path / "theirs")
    assert "engine" not in EVALUATION.identity(with_transformers(spec))
    folders = {name: tmp_path / name for name in ("ours", "theirs", "not yet")}
    assert evaluated_with(folders.values()) == {"transformers": 1, "vllm 0.32.0": 1}
    assert "1 with transformers and 1 with vllm 0.32.0" in (mixed(folders.values()) or "")
    assert mixed([tmp_path / "theirs"]) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no vllm", "vllm_python: .* has no vLLM; name the Python of an environment with vLLM 0.32.0"),
        ("no dependency", "ended with exit status 1; .* No module named 'a_module_that_is_not_there'"),
        ("other version", "vllm_version is 0.32.0, and .* has vLLM 9.9.9; install that version, or write"),
        ("dies", "ended with exit status 1; .* It said last: .*MemoryError: no room for keys and values"),
        ("is killed", r"was killed \(SIGKILL\)"),
        ("little memory", "vllm_memory: a prompt and its answer take .* tokens, and vLLM has memory for 16"),
    ],
)
def test_what_is_wrong_with_vllm_is_one_message(spec, tmp_path, python, fault, message):
    with pytest.raises(VllmFailed, match=message):
        evaluate(with_python(spec, python(fault)), tmp_path / "evaluation")
    # What was done before stays, and vLLM's copy of the weights does not.
    (kept,) = (tmp_path / "evaluation" / ".answers").glob("*.json")
    assert len(json.loads(kept.read_text())["answers"]) == 2
    assert not list((tmp_path / "evaluation").glob(".model*"))


def test_a_python_that_is_not_there_is_one_message(model):
    with (
        pytest.raises(VllmFailed, match=r"vllm_python: /no/python cannot be run \(No such file"),
        vllm_engine(asked("/no/python"), model, "float32", load_renderer(model, PAPER)),
    ):
        pass


def test_a_model_with_two_sets_of_frequencies_is_refused(tmp_path, model):
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 16, "long_factor": [4.0] * 16}
    sizes = {**CONFIG.to_dict(), "original_max_position_embeddings": 64, "pad_token_id": 0}
    rope["original_max_position_embeddings"] = 64
    Phi3Config(**{**sizes, "rope_parameters": rope}).save_pretrained(tmp_path)
    with (
        pytest.raises(VllmFailed, match=r"kind longrope, .*; write `engine: transformers`"),
        vllm_engine(asked("/no/python"), tmp_path, "float32", load_renderer(model, PAPER)),
    ):
        pass


def test_where_no_memory_helps_none_is_asked_for():
    engine = VllmEngine.__new__(VllmEngine)
    engine.max_length = engine._longest = 9000
    engine._check_room(9000)
    with pytest.raises(
        VllmFailed, match=r"take 9,000 tokens, all that the model takes, and vLLM wants room for one more"
    ):
        engine._check_room(9001)


@pytest.mark.slow
def test_an_engine_with_other_log_likelihoods_is_refused(spec, tmp_path, python):
    with pytest.raises(
        EnginesDisagree, match=r"vLLM wrote 4 of 4 answers .* differ by at most 0\.\d+ nats a token, more"
    ):
        evaluate(with_python(spec, python("other weights")), tmp_path / "evaluation")
    assert not (tmp_path / "evaluation" / "parts" / "mmlu.json").exists()


@pytest.mark.slow
def test_after_a_kill_the_check_is_not_made_again_and_no_model_is_loaded(spec, tmp_path, monkeypatch):
    folder = tmp_path / "evaluation"
    with monkeypatch.context() as patch:
        patch.setattr(engines.shutil, "rmtree", lambda *_, **__: None)
        evaluate(spec, folder)
    items = rows_of(folder)
    (folder / "manifest.json").unlink()
    (folder / "parts" / "mine.json").unlink()
    monkeypatch.setattr(harness, "load_model", None)
    evaluate(spec, folder)
    assert rows_of(folder) == items
    assert not (folder / ".model").exists()


@pytest.mark.slow
def test_no_copy_of_the_weights_stays(spec, tmp_path, monkeypatch):
    folder = tmp_path / "evaluation"
    with monkeypatch.context() as patch:

        def full(_, __, folder: Path) -> None:
            (folder / "model.safetensors").write_text("half")
            raise OSError("no space left on device")

        patch.setattr(engines, "write_weights", full)
        with pytest.raises(OSError, match="no space left"):
            evaluate(spec, folder)
    assert not list(folder.glob(".model*"))
    evaluate(spec, folder)
    # Killed after the last part was written, and before the copy was removed.
    (folder / "manifest.json").unlink()
    for name in (".model", ".model.partial"):
        (folder / name).mkdir()
    evaluate(spec, folder)
    assert not list(folder.glob(".model*"))


@pytest.mark.slow
def test_no_engine_outlives_a_job_that_is_killed(spec, tmp_path, python):
    note = tmp_path / "pid"
    file = tmp_path / "spec.json"
    write_spec(with_python(spec, python(f"waits {note}")), file)
    job = subprocess.Popen(
        [sys.executable, "-m", "selection_platform.job", "evaluation", str(file), str(tmp_path / "evaluation")],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: note.exists() and note.read_text(), 120)
    engine = int(note.read_text())
    os.kill(engine, 0)
    job.send_signal(signal.SIGKILL)
    job.wait()
    wait_until(
        lambda: not Path(f"/proc/{engine}").exists() or "zombie" in Path(f"/proc/{engine}/status").read_text(), 30
    )


def wait_until(happened: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_another_engine_makes_results_due_and_a_mix_is_told(place, capsys, python):
    assert due(capsys, place) == {}
    change_profile(place, evaluation={"engine": "vllm", "vllm_version": "0.32.0", "vllm_python": python()})
    first, *others = [name for name in due(capsys, place) if name.startswith("benchmark_result")]
    assert len(others) == 4
    # What is made of the results is due with them, and nothing before them.
    assert not {name.split()[0] for name in due(capsys, place)} & {"base_model", "selection", "checkpoint"}
    output_of(capsys, place, "refresh", first.split()[1])
    mixed = "5 models were evaluated, 4 with transformers and 1 with vllm 0.32.0, so their results differ"
    assert mixed in " ".join(output_of(capsys, place, "verdict").split())
    output_of(capsys, place, "run")
    assert "models were evaluated" not in output_of(capsys, place, "verdict")


def test_log_likelihoods_that_are_no_numbers_are_an_error():
    from selection_platform.evaluation.vllm_engine import _of_answer

    with pytest.raises(NotFinite):
        _of_answer(Continuation([1], [2]), {(1,): {2: float("nan")}}, {(1,): 2})


def test_a_difference_that_is_no_number_is_an_error():
    continuations = [Continuation([1], [2]), Continuation([1], [3])]
    # `max` of a number and NaN is the number.
    wanted = Expected([], [], continuations, [1e-5, float("nan")])
    with pytest.raises(NotFinite):
        compared(wanted, Noted(max_length=9))


@pytest.mark.slow
@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no Python with vLLM: see docs/benchmarks.md")
def test_a_real_vllm_gives_what_transformers_gives(spec, tmp_path):
    path = os.environ[REAL]
    version = subprocess.check_output([path, "-Ic", "import vllm; print(vllm.__version__)"], text=True).strip()
    evaluate(with_transformers(spec), tmp_path / "ours")
    evaluate(changed(spec, vllm_python=path, vllm_version=version.partition("+")[0]), tmp_path / "theirs")
    assert rows_of(tmp_path / "theirs") == rows_of(tmp_path / "ours")
    found = (read_manifest(tmp_path / "theirs") or {})["agreement"]
    assert found["equal_answers"] == found["answers"] == 4
    assert found["largest_difference"] < 1e-4
