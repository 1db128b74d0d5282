"""The datasets of lm-eval's tasks: fetched at a commit, read without a network, and known by their rows."""

import json
import os
import shutil
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
from datasets import config as datasets_config
from huggingface_hub import constants
from lm_eval.tasks import TaskManager

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.evaluation import benchmark_tasks
from selection_platform.evaluation.asking import datasets_of
from selection_platform.evaluation.benchmark_data import MissingData
from selection_platform.evaluation.benchmark_tasks import OwnFile, load_tasks
from selection_platform.evaluation.fetch_datasets import UnreadableDataset, fetch
from selection_platform.evaluation.own_benchmarks import content_of, hub_benchmarks
from selection_platform.evaluation.task_datasets import TaskDatasets, fetched_content, offline
from selection_platform.evaluation.task_names import UnusableTask
from selection_platform.job.folder import made_again, read_manifest
from selection_platform.job.integrity import check_files
from tests.pools.sources.pretend_hub import COMMIT, HUB, pretend_hub

OTHER = COMMIT[::-1]
SUBSETS = {"a": ["1 + 1?", "2 + 2?"], "b": ["3 + 3?"]}
CARD = "---\nconfigs:\n" + "".join(
    f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {name}/test.jsonl\n" for name in SUBSETS
)
TASK = f"""
dataset_path: {HUB}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
"""
GROUP = BenchmarkSettings(task="sums")


def lines(questions):
    return "".join(json.dumps({"question": each, "answer": "yes"}) + "\n" for each in questions).encode()


def dataset(**subsets):
    rows = {f"{name}/test.jsonl": lines(questions) for name, questions in (SUBSETS | subsets).items()}
    return {"README.md": f"{CARD}---\n".encode(), **rows}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """With a group of two tasks, whose datasets are subsets of one on the hub, in place of lm-eval's own tasks."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "shared_yaml").write_text(TASK)
    (tasks / "sums.yaml").write_text("group: sums\ntask: [sums_a, sums_b]\n")
    for name in SUBSETS:
        text = f"include: shared_yaml\ntask: sums_{name}\ndataset_name: {name}\n"
        (tasks / f"sums_{name}.yaml").write_text(text)
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    monkeypatch.setattr(benchmark_tasks, "_task_manager", lambda: manager)
    monkeypatch.setattr(datasets_config, "HF_DATASETS_CACHE", tmp_path / "unused")
    with pretend_hub(monkeypatch, tmp_path / "cache", dataset()) as running:
        yield running
    assert not (tmp_path / "unused").exists()


def loaded(folder, settings=GROUP, file=None):
    """The questions of each task, without a network."""
    with offline():
        fetched = TaskDatasets(folder, fetched_content(folder))
        tasks: Any = load_tasks("sums", settings, folder, 0, file, fetched)
    return {name: [item["question"] for item in task.eval_docs] for name, task in tasks.items()}


def test_what_a_group_of_tasks_reads_is_fetched_once_and_read_without_a_network(hub, tmp_path):
    manifest = fetch("sums", GROUP, tmp_path / "fetched")
    found = {each["config"]: (each["commit"], each["rows"]) for each in manifest["datasets"]}
    assert found == {"a": (COMMIT, {"test": 2}), "b": (COMMIT, {"test": 1})}
    paths = [path for path, _ in hub.asked]
    assert sorted(set(paths)) == sorted(paths) == ["README.md", "a/test.jsonl", "b/test.jsonl"]
    hub.error = "none may ask"
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "fetched").rename(tmp_path / "moved")
    assert loaded(tmp_path / "moved") == {"sums_a": SUBSETS["a"], "sums_b": SUBSETS["b"]}
    # Reading writes nothing.
    check_files(tmp_path / "moved")
    assert fetch("sums", GROUP, tmp_path / "moved") == manifest


@pytest.mark.slow
def test_a_commit_stays_until_a_newer_one_is_asked_for_and_content_is_what_counts(hub, tmp_path, monkeypatch):
    folder = tmp_path / "fetched"
    before = fetch("sums", GROUP, folder)
    hub.commit, hub.files = OTHER, {**dataset(), "NOTES.md": b"more"}
    assert fetch("sums", GROUP, folder) == before
    # Another lm-eval asks again, for the same commit: it is in the hub's cache.
    with monkeypatch.context() as patch:
        patch.setattr("selection_platform.evaluation.fetch_datasets.version", lambda _: "9.9")
        assert fetch("sums", GROUP, folder) == before
    with made_again():
        renewed = fetch("sums", GROUP, folder, newest=True)
    assert {each["commit"] for each in renewed["datasets"]} == {OTHER}
    assert renewed["content_hash"] == before["content_hash"]
    hub.commit, hub.files = COMMIT[:-1] + "0", dataset(b=["4 + 4?"])
    with made_again():
        changed = fetch("sums", GROUP, folder, newest=True)
    assert changed["content_hash"] != before["content_hash"]
    assert loaded(folder) == {"sums_a": SUBSETS["a"], "sums_b": ["4 + 4?"]}


@pytest.mark.slow
def test_what_is_repaired_stays_at_its_commit(hub, tmp_path):
    folder = tmp_path / "fetched"
    before = fetch("sums", GROUP, folder)
    hub.commit, hub.files = OTHER, dataset(b=["4 + 4?"])
    next(folder.glob("rows/*/*/*.arrow")).unlink()
    with made_again():
        assert fetch("sums", GROUP, folder, newest=True) == before


@pytest.mark.slow
def test_each_benchmark_reads_its_own(hub, tmp_path):
    fetch("before", GROUP, tmp_path / "before")
    hub.commit, hub.files = OTHER, dataset(b=["4 + 4?"])
    fetch("after", GROUP, tmp_path / "after")
    spec: Any = SimpleNamespace(datasets={name: str(tmp_path / name) for name in ("before", "after")})
    read = {}
    for name in spec.datasets:
        with datasets_of(spec, name):
            # A token decides no rows.
            read[name] = datasets.load_dataset(HUB, "b", token="mine")["test"]["question"]
    assert read == {"before": SUBSETS["b"], "after": ["4 + 4?"]}


@pytest.mark.slow
@pytest.mark.parametrize("newest", [False, True])
def test_a_killed_fetch_goes_on_at_the_commit_that_it_began_with(hub, tmp_path, monkeypatch, newest):
    folder = tmp_path / "fetched"
    save = datasets.DatasetDict.save_to_disk

    def killed(rows, place):
        if len(rows["test"]) == 1:
            raise KeyboardInterrupt
        save(rows, place)

    with monkeypatch.context() as patch:
        patch.setattr(datasets.DatasetDict, "save_to_disk", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch("sums", GROUP, folder)
    assert read_manifest(folder) is None
    monkeypatch.setattr(hub, "asked", [])
    hub.commit, hub.files = OTHER, dataset(b=["4 + 4?"])
    manifest = fetch("sums", GROUP, folder, newest=newest)
    assert {each["commit"] for each in manifest["datasets"]} == {OTHER if newest else COMMIT}
    assert loaded(folder)["sums_b"] == (["4 + 4?"] if newest else SUBSETS["b"])
    # The hub's cache has all other files.
    assert [path for path, _ in hub.asked] == (["b/test.jsonl"] if newest else [])
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_what_was_not_fetched_is_named(hub, tmp_path):
    fetch("sums", BenchmarkSettings(task="sums_a"), tmp_path / "fetched")
    with pytest.raises(
        MissingData, match=rf"benchmark sums: dataset {HUB} is not on this machine; fetch it with `sele"
    ):
        loaded(tmp_path / "fetched")
    with offline(), pytest.raises(MissingData, match="is not on this machine"):
        load_tasks("sums", GROUP, tmp_path, 0)
    with pytest.raises(MissingData, match=r"nowhere: no datasets of lm-eval's tasks; fetch them with `selection-pl"):
        fetched_content(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("GatedRepo", f"dataset {HUB} is gated; accept its terms at https://huggingface.co/datasets/{HUB}, run `hf a"),
        ("RepoNotFound", f"dataset {HUB} is not on the hub, or is private; name another task, or run `hf auth login`"),
        ("RevisionNotFound", f"dataset {HUB} has no such revision; correct `revision` under dataset_kwargs"),
        ("script", f"dataset {HUB} is a loading script, which `datasets` does not run any more; name another task"),
        ("subset", f"dataset {HUB} cannot be read as the task asks for it (ValueError: BuilderConfig 'a' not f"),
        ("offline", f"dataset {HUB} cannot be fetched offline; unset HF_HUB_OFFLINE, or fetch it on another machine"),
        ("network", f"dataset {HUB} cannot be fetched (ConnectError: "),
    ],
)
def test_what_cannot_be_fetched_is_named_with_what_to_do(hub, tmp_path, monkeypatch, error, message):
    match error:
        case "script":
            hub.files["chats.py"] = b"import os"
        case "subset":
            hub.files["README.md"] = hub.files["README.md"].replace(b"config_name: a", b"config_name: other")
        case "offline":
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        case "network":
            monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
        case _:
            hub.error = error
    with pytest.raises(UnreadableDataset, match=r"^benchmark mine: ") as raised:
        fetch("mine", GROUP, tmp_path / "fetched")
    assert str(raised.value).startswith(f"benchmark mine: {message}")
    assert read_manifest(tmp_path / "fetched") is None


def test_a_task_that_streams_is_refused(hub, tmp_path):
    path = own_task(tmp_path, "dataset_name: a\ndataset_kwargs: {streaming: true}\n")
    with pytest.raises(UnusableTask, match=rf"benchmark mine: its task streams {HUB}, which cannot be fetched"):
        fetch("mine", BenchmarkSettings(file=str(path)), tmp_path / "fetched")


def own_task(folder, more, text=TASK):
    (folder / "own").mkdir()
    path = folder / "own" / "own.yaml"
    path.write_text(f"task: own\n{text}{more}")
    return path


@pytest.mark.slow
def test_a_task_file_of_ones_own_may_name_a_revision_and_load_by_code(hub, tmp_path):
    path = own_task(
        tmp_path,
        f"dataset_kwargs: {{revision: {OTHER}}}\ncustom_dataset: !function code.both\n",
    )
    (path.parent / "code.py").write_text(
        "from datasets import concatenate_datasets, load_dataset\n\n\ndef both(revision, **_):\n"
        f"    parts = [load_dataset('{HUB}', name, split='test', revision=revision) for name in 'ab']\n"
        "    return {'test': concatenate_datasets(parts)}\n"
    )
    hub.commit = OTHER
    settings = BenchmarkSettings(file=str(path))
    manifest = fetch("own", settings, tmp_path / "fetched")
    assert [(each["config"], each["commit"]) for each in manifest["datasets"]] == [("a", OTHER), ("b", OTHER)]
    hub.error = "none may ask"
    file = OwnFile(path, content_of("own", path))
    # The code is imported already, with the function that it loads by.
    assert loaded(tmp_path / "fetched", settings, file) == {"own": [*SUBSETS["a"], *SUBSETS["b"]]}


LOCAL = TASK.replace(HUB, "json")


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        (TASK, True),
        (LOCAL + "dataset_kwargs: {data_files: rows.jsonl}", False),
        (LOCAL + "dataset_kwargs: {data_files: rows.jsonl}\nprocess_docs: !function code.more", True),
        (LOCAL + "dataset_kwargs: {data_files: 'https://example.org/rows.jsonl'}", True),
        (LOCAL + "dataset_kwargs: {data_files: {test: ['hf://datasets/a/b/rows.jsonl']}}", True),
        (LOCAL + "dataset_kwargs: {data_files: 'zip://*.jsonl::rows.zip'}", False),
        (TASK.replace(HUB, "."), False),
        ("custom_dataset: !function code.load", True),
        ("task: [", False),
    ],
)
def test_task_files_that_read_this_machine_alone_have_nothing_to_fetch(tmp_path, text, reads):
    path = own_task(tmp_path, "", text)
    settings = {"file": str(path)}
    evaluation = EvaluationSettings.model_validate({"benchmarks": {"own": settings}})
    assert hub_benchmarks(evaluation) == (["own"] if reads else [])


def test_offline_benchmarks_and_prompts_have_nothing_to_fetch():
    benchmarks = {
        "mmlu": {"task": "mmlu"}, "ours": {"task": "offline_mmlu"}, "mine": {"file": "x.jsonl", "rule": "exact"},
        "gone": {"file": "gone.yaml"},
    }  # fmt: skip
    assert hub_benchmarks(EvaluationSettings.model_validate({"benchmarks": benchmarks})) == ["mmlu"]


def test_offline_ends_with_its_block(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    with offline():
        assert (constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE) == (True, True)
        assert (os.environ["HF_HUB_OFFLINE"], os.environ["HF_DATASETS_OFFLINE"]) == ("1", "1")
    assert (constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"]) == (False, "0")
    assert "HF_DATASETS_OFFLINE" not in os.environ
