"""Processes that share an evaluation. They are real ones: torchrun starts them."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.evaluation import harness
from selection_platform.evaluation.asking import quiet_lm_eval, run_items, tasks_of
from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine import TransformersEngine
from selection_platform.evaluation.harness import EVALUATION, evaluate
from selection_platform.evaluation.held_out_loss import held_out_loss
from selection_platform.evaluation.spec import EvaluationSpec
from selection_platform.job.compute import SPENT
from selection_platform.job.folder import write_manifest
from selection_platform.job.run import FACTS_VARIABLE, run_job
from selection_platform.job.spec import write_spec
from selection_platform.models.loading import load_model
from selection_platform.models.renderers import load_renderer
from selection_platform.text.conversation import to_messages
from tests.shared_jobs import kill, start
from tests.specs import changed, made
from tests.tiny import CONFIGS, random_samples, save_model, write_samples

PROMPTS = 200


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> EvaluationSpec:
    """Prompts to answer, questions with letters, and conversations, in many pieces."""
    folder = tmp_path_factory.mktemp("inputs")
    save_model(folder / "model", CONFIGS["llama"])
    write_samples(folder / "held_out.parquet", random_samples(24))
    data = folder / "data"
    data.mkdir()
    questions = [{"question": f"Is {n} even?", "choices": ["yes", "no", "a", "the"], "answer": n % 2} for n in range(9)]
    (data / "mmlu.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    write_manifest(data, {})
    rows = [{"prompt": f"{n} is on" + " the hat" * (n % 7), "reference": str(n)} for n in range(1, PROMPTS + 1)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made(
        EvaluationSpec,
        model_folder=str(folder / "model"),
        data_folder=str(data),
        evaluation=EvaluationSettings(
            benchmarks={
                "mine": BenchmarkSettings(file="prompts.jsonl", rule="exact", max_new_tokens=16),
                "mmlu": BenchmarkSettings(task="offline_mmlu"),
            },
            batch_size=2,
        ),
        files={"mine": str(folder / "prompts.jsonl")},
        held_out={"pool": str(folder / "held_out.parquet")},
        text=PAPER,
        tokens_per_batch=128,
        max_length=64,
    )


@pytest.fixture(scope="module")
def alone(spec, tmp_path_factory) -> tuple[dict[str, bytes], int]:
    """The tables of one process, and the tokens that went through its model."""
    folder, before = tmp_path_factory.mktemp("one") / "out", replace(SPENT)
    evaluate(spec, folder)
    return tables(folder), (SPENT - before).tokens


def tables(folder: Path) -> dict[str, bytes]:
    # Neither claims nor answers nor what a killed process was writing.
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"parts"}
    return {name: (folder / name).read_bytes() for name in ("results.parquet", "items.parquet")}


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one_and_compute_no_batch_twice(spec, alone, tmp_path):
    facts_file = tmp_path / "facts.json"
    job = start("evaluation", spec, tmp_path / "out", 2, {FACTS_VARIABLE: str(facts_file)})
    assert job.wait(timeout=180) == 0
    expected, tokens = alone
    assert tables(tmp_path / "out") == expected
    facts = json.loads(facts_file.read_text())
    assert facts["processes"] == 2
    # Each process that scores conversations tries the model on some tokens first.
    assert 0 <= facts["compute"]["tokens"] - tokens <= 30


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["one", "all"])
def test_after_a_kill_what_was_answered_is_kept_and_the_bytes_are_those_of_one(
    whom, spec, alone, tmp_path, monkeypatch
):
    folder = tmp_path / "out"
    job = start("evaluation", spec, folder, processes=2)
    while len(list((folder / ".answers").glob("[!.]*"))) < 5:
        assert job.poll() is None
        time.sleep(0.01)
    kill(job, whom)
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / ".answers").glob("[!.]*")}
    assert len(kept) >= 5
    with monkeypatch.context() as patch:
        patch.setattr(harness, "remove_answers", lambda _: None)
        evaluate(spec, folder)
    assert {name: (folder / ".answers" / name).stat().st_mtime_ns for name in kept} == kept
    assert len(list((folder / ".answers").glob("[!.]*"))) > len(kept)
    # Killed between the last table and the manifest: nothing is asked again.
    (folder / "manifest.json").unlink()
    monkeypatch.setattr(harness, "load_renderer", None)
    evaluate(spec, folder)
    assert tables(folder) == alone[0]


@pytest.mark.slow
def test_the_answers_are_those_that_an_engine_gives_to_whole_lists(spec, alone, tmp_path):
    """So results of versions whose jobs had no pieces stay what they are."""
    folder = Path(spec.model_folder)
    model, _ = load_model(folder, "float32", "cpu")
    renderer = load_renderer(folder, PAPER)
    evaluate(spec, tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    for name, kind in (("mine", "exact"), ("mmlu", "acc")):
        tasks = tasks_of(spec, name)
        with quiet_lm_eval():
            samples = run_items(tasks, None, ChatModel(TransformersEngine(model, renderer, 2), renderer))
        responses = [harness._response(task, sample) for key, task in tasks.items() for sample in samples[key]]
        assert [row["response"] for row in found if (row["benchmark"], row["metric"]) == (name, kind)] == responses
    rows = pq.read_table(spec.held_out["pool"]).to_pylist()
    conversations = [(row["sample_id"], to_messages(row["messages"])) for row in rows]
    loss = held_out_loss(model, renderer, conversations, 128, 64)
    of_loss = [row["correct"] for row in found if row["task"] == "pool"]
    assert of_loss == loss.items["bits_per_byte"].to_pylist()
    assert len(of_loss) > 10


def test_results_of_versions_without_pieces_are_not_due(spec):
    assert EVALUATION.identity(spec)["code_versions"] == {"evaluation": 2}
    assert EVALUATION.identity(spec).keys() == {
        "spec", "benchmarks", "files", "model", "items", "held_out", "lm_eval", "template", "tasks", "scoring",
        "code_versions",
    }  # fmt: skip


def test_with_vllm_one_process_does_the_work(spec, tmp_path, monkeypatch):
    with_vllm = changed(spec, engine="vllm", vllm_version="0.32.0", vllm_python="/v/python")
    assert EVALUATION.can_be_shared(spec)
    assert not EVALUATION.can_be_shared(with_vllm)
    # It has nothing to answer.
    assert EVALUATION.can_be_shared(changed(with_vllm, benchmarks={}))
    write_spec(with_vllm, tmp_path / "spec.json")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"spec\.json: evaluation of this spec cannot be shared; start it in one proc"):
        run_job("evaluation", tmp_path / "spec.json", tmp_path / "out")
