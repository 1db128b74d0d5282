"""A benchmark on a dataset of the hub: fetched by a step of its own, and evaluated without a network."""

import json

import pytest
from huggingface_hub import constants

from selection_platform.cli.main import main
from selection_platform.evaluation import harness
from tests.pools.sources.pretend_hub import COMMIT, HUB, pretend_hub
from tests.small_run import ENTROPY, change_profile, due, materializations, output_of

pytestmark = pytest.mark.data

OTHER = COMMIT[::-1]
TASK = f"""
task: sums
dataset_path: {HUB}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: ["yes", "no"]
doc_to_target: answer
process_docs: !function of_sums.again
"""
CODE = f"""
import datasets


def again(rows):
    return datasets.load_dataset("{HUB}", split="test") if rows else rows
"""


def rows(*questions):
    return "".join(json.dumps({"question": each, "answer": 0}) + "\n" for each in questions).encode()


@pytest.fixture
def hub(place, monkeypatch, tmp_path):
    (place.folder / "sums.yaml").write_text(TASK)
    # lm-eval calls it again whenever it counts the items.
    (place.folder / "of_sums.py").write_text(CODE)
    change_profile(place, evaluation={"benchmarks": {"sums": {"file": "sums.yaml"}}})
    with pretend_hub(monkeypatch, tmp_path / "cache", {"test.jsonl": rows("1 + 1 is 2?")}) as running:
        yield running


def made(place, before):
    return {node for node, run in materializations(place).items() if before.get(node) != run}


def known_by(place):
    return json.loads((place.home / "artifacts" / "benchmark_result" / ENTROPY / "job.json").read_text())


def test_results_are_due_when_the_user_takes_a_commit_with_other_rows(place, hub, capsys, monkeypatch):
    before = materializations(place)
    assert due(capsys, place)["task_dataset sums"] == ("missing", ["never materialised"])
    output_of(capsys, place, "refresh", "task_dataset")
    assert made(place, before) == {"task_dataset sums"}
    hub.error, offline = "none may ask", []
    run = harness.run_items
    monkeypatch.setattr(harness, "run_items", lambda *given: offline.append(constants.HF_HUB_OFFLINE) or run(*given))
    output_of(capsys, place, "refresh", ENTROPY)
    assert f"benchmark_result {ENTROPY}" not in due(capsys, place)
    assert set(offline) == {True}
    first = known_by(place)

    # Another commit is not seen, and of one with the same rows nothing is due.
    hub.error, hub.commit = "", OTHER
    hub.files["README.md"] = b"Better told."
    waiting = set(due(capsys, place))
    plan = output_of(capsys, place, "refresh", "task_dataset", "--rebuild", "--dry-run")
    assert "the newest commits on the hub are taken" in " ".join(plan.split())
    output_of(capsys, place, "refresh", "sums", "--rebuild")
    assert set(due(capsys, place)) == waiting
    assert OTHER in (place.home / "artifacts" / "task_dataset" / "sums" / "manifest.json").read_text()

    # Where the hub cannot be asked, what was there stays.
    before = materializations(place)
    hub.error = "GatedRepo"
    assert main(["--profile", str(place.profile), "refresh", "task_dataset", "--rebuild"]) == 1
    assert f"task_dataset  sums: benchmark sums: dataset {HUB} is gated" in capsys.readouterr().err
    assert made(place, before) == set()
    assert set(due(capsys, place)) == waiting

    # What a commit holds never changes, and is not downloaded again.
    hub.error, hub.commit = "", COMMIT[1:] + COMMIT[0]
    hub.files["test.jsonl"] = rows("1 + 1 is 3?")
    output_of(capsys, place, "refresh", "task_dataset", "--rebuild")
    now = due(capsys, place)
    assert now[f"benchmark_result {ENTROPY}"] == ("stale", ["task_dataset sums changed"])
    assert set(now) == waiting | {f"benchmark_result {ENTROPY}"}
    output_of(capsys, place, "refresh", ENTROPY)
    assert known_by(place)["datasets"] != first["datasets"]


@pytest.mark.usefixtures("hub")
def test_without_a_benchmark_on_the_hub_nothing_is_due(place, capsys):
    now = due(capsys, place)
    assert "task_dataset sums is new" in now[f"benchmark_result {ENTROPY}"][1]
    change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 1}}})
    assert due(capsys, place) == {}
    assert not any("task_dataset" in node for node in materializations(place))
