"""DiverseEvol against the same steps by hand, killed and gone on with, and as it was published."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.configuration.settings import FineTuningSettings, LoraSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.features.sample_embedding import EmbeddingSpec, embed
from selection_platform.job.folder import read_manifest
from selection_platform.job.shards import shard_files
from selection_platform.job.spec import write_spec
from selection_platform.methods.diverse_evol import selection as diverse_evol
from selection_platform.methods.diverse_evol.selection import DiverseEvolSpec, round_sizes, select
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from tests.specs import changed, made
from tests.tiny import CONFIGS, random_samples, save_model, write_samples

RECIPE = FineTuningSettings(epochs=1, learning_rate=1e-2, global_batch=4, batch_per_device=4, max_length=60)
HALVED = RECIPE.model_copy(update={"batch_per_device": 2})
SPLIT = HALVED.model_copy(update={"shard": True})
LORA = RECIPE.model_copy(update={"lora": LoraSettings(rank=4, alpha=512, dropout=0.1), "learning_rate": 5e-2})


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


@pytest.fixture
def no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for garbage takes longer than a tiny model's round."""
    monkeypatch.setattr(diverse_evol, "_free_memory", lambda: None)


@pytest.fixture
def spec(tmp_path: Path) -> DiverseEvolSpec:
    """Four of 30 samples at random, then two rounds of 4."""
    save_model(tmp_path / "model", CONFIGS["llama"])
    write_samples(tmp_path / "samples.parquet", random_samples(30))
    return made(
        DiverseEvolSpec,
        published=False,
        base_model_folder=str(tmp_path / "model"),
        samples_file=str(tmp_path / "samples.parquet"),
        budget=12,
        initial_share=0.34,
        rounds=2,
        seed=3,
        recipe=RECIPE,
        max_length=60,
        tokens_per_batch=256,
        samples_per_shard=16,
    )


def by_hand(spec: DiverseEvolSpec, work: Path) -> tuple[list[dict[str, Any]], list[float]]:
    """The picks, and the cover radius after each round, with every distance computed by differences."""
    names = pq.read_table(spec.samples_file)["sample_id"].to_pylist()  # sorted already
    chosen = np.random.default_rng(spec.diverse_evol.seed).choice(30, 4, replace=False).tolist()
    base, radii = spec.base_model_folder, []
    for number in (1, 2):
        train_file = work / f"{number}.parquet"
        train_file.parent.mkdir(exist_ok=True)
        table = pq.read_table(spec.samples_file).take(chosen)
        pq.write_table(table.add_column(0, "position", [list(range(len(chosen)))]), train_file)
        training = FineTuningSpec(
            base_model_folder=base,
            train_file=str(train_file),
            recipe=spec.recipe,
            text=PAPER,
            seed=spec.diverse_evol.seed,
            precision="float32",
        )
        fine_tune(training, work / f"model-{number}", is_round=True)
        if spec.published:
            base = str(work / f"model-{number}")
        embedding = EmbeddingSpec(
            model_folder=str(work / f"model-{number}"),
            samples_file=spec.samples_file,
            scoring=spec.scoring,
            dtype="float32",
            text=PAPER,
        )
        embed(embedding, work / f"embedding-{number}")
        found = pq.read_table(shard_files(work / f"embedding-{number}")).sort_by("sample_id")
        rows = np.array(found["embedding"].to_pylist())
        distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        known = list(chosen)
        for _ in range(4):
            nearest = distance[:, known if spec.published else chosen].min(axis=1)
            nearest[chosen] = -1
            chosen.append(int(nearest.argmax()))
        radii.append(distance[:, chosen].min(axis=1).max())
    rounds = [0] * 4 + [1] * 4 + [2] * 4
    picks = [
        {"sample_id": names[row], "position": place, "round": number}
        for place, (row, number) in enumerate(zip(chosen, rounds, strict=True), start=1)
    ]
    return picks, radii


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"recipe": HALVED}, {"recipe": HALVED, "published": True}, {"recipe": SPLIT}])
def test_two_processes_pick_what_one_does(changes: dict[str, Any], spec: DiverseEvolSpec, tmp_path: Path):
    spec = changed(spec, **changes)
    select(spec, tmp_path / "one")
    write_spec(spec, tmp_path / "spec.json")
    command = [sys.executable, "-m", "selection_platform.job", "diverse_evol", str(tmp_path / "spec.json")]
    subprocess.run([*command, str(tmp_path / "two"), "--processes", "2"], check=True, capture_output=True)
    one, two = (pq.read_table(tmp_path / name / "picks.parquet") for name in ("one", "two"))
    assert two.equals(one)
    left = [path.name for path in (tmp_path / "two").iterdir() if path.name.startswith("round-") and path.is_dir()]
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"published": True}, {"published": True, "recipe": LORA}])
def test_equals_the_same_steps_by_hand(changes: dict[str, Any], spec: DiverseEvolSpec, tmp_path: Path):
    spec = changed(spec, **changes)
    picks = pq.read_table(select(spec, tmp_path / "out"))
    expected, radii = by_hand(spec, tmp_path / "work")
    assert picks.to_pylist() == expected
    assert [str(column.type) for column in picks.schema] == ["string", "int64", "int32"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["files.json", "job.json", "manifest.json", "picks.parquet"]
    summary = (read_manifest(tmp_path / "out") or {})["summary"]
    assert (summary["samples"], summary["selected"], summary["start"]) == (30, 12, 4)
    assert [each["cover_radius"] for each in summary["rounds"]] == pytest.approx(radii, rel=1e-4)
    assert {each["cut_prompts"] > 0 for each in summary["rounds"]} == {True}
    assert {each["left_out"] for each in summary["rounds"]} == {0}
    assert summary["seconds"] == pytest.approx(
        sum(each[f"{step}_seconds"] for each in summary["rounds"] for step in ("train", "embed", "pick"))
    )


def kill_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, killed right after it has done its work for the `calls`-th time."""
    left = calls

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        result = function(*arguments, **named)
        left -= 1
        if left == 0:
            raise Killed
        return result

    return wrapped


@pytest.mark.slow
@pytest.mark.usefixtures("no_collecting")
@pytest.mark.parametrize("published", [False, True])
def test_killed_anywhere_it_goes_on_to_the_same_bytes(
    published: bool, spec: DiverseEvolSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    spec = changed(spec, published=published)
    whole = select(spec, tmp_path / "whole").read_bytes()
    trained: list[str] = []

    def spy(training: FineTuningSpec, folder: Path, *, is_round: bool) -> dict[str, Any]:
        if not (folder / "manifest.json").exists():
            trained.append(folder.parent.name)
        return fine_tune(training, folder, is_round=is_round)

    steps = [
        ("fine_tune", 1),
        ("embed", 1),
        ("read_embeddings", 1),
        ("_round", 1),
        ("_remove_what_is_done", 1),
        ("fine_tune", 1),
        ("embed", 1),
        ("_pick", 1),
        ("_remove_what_is_done", 2),
        ("write_picks", 1),
        ("write_manifest", 1),
    ]
    monkeypatch.setattr(diverse_evol, "fine_tune", spy)
    for name, calls in steps:
        with monkeypatch.context() as patch:
            patch.setattr(diverse_evol, name, kill_after(calls, getattr(diverse_evol, name)))
            with pytest.raises(Killed):
                select(spec, tmp_path / "broken")
    assert select(spec, tmp_path / "broken").read_bytes() == whole
    assert trained == ["round-1", "round-2"]
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == [
        "files.json",
        "job.json",
        "manifest.json",
        "picks.parquet",
    ]


@pytest.mark.slow
def test_a_job_is_known_by_content_and_not_by_path(spec: DiverseEvolSpec, tmp_path: Path):
    select(spec, tmp_path / "out")
    done = read_manifest(tmp_path / "out")
    shutil.copytree(tmp_path / "model", tmp_path / "moved")
    shutil.copy(tmp_path / "samples.parquet", tmp_path / "moved.parquet")
    moved = changed(spec, base_model_folder=str(tmp_path / "moved"), samples_file=str(tmp_path / "moved.parquet"))
    # Neither of these changes a number.
    moved = changed(moved, recipe=RECIPE.model_copy(update={"save_steps": 7}))
    select(moved, tmp_path / "out")
    assert read_manifest(tmp_path / "out") == done  # the same seconds: nothing ran
    identity = json.loads((tmp_path / "out/job.json").read_text())
    for change in (
        {"budget": 13},
        {"seed": 4},
        {"published": True},
        {"recipe": RECIPE.model_copy(update={"epochs": 2})},
    ):
        assert diverse_evol._identity(changed(moved, **change)) != identity
    save_model(tmp_path / "moved", CONFIGS["llama"], seed=1)
    assert diverse_evol._identity(moved) != identity


@pytest.mark.slow
@pytest.mark.usefixtures("no_collecting")
@pytest.mark.parametrize(
    ("changes", "bases", "kept"),
    [
        ({}, ["model", "model", "model"], []),
        ({"published": True}, ["model", "round-1", "round-2"], ["round-3"]),
        ({"published": True, "recipe": LORA}, ["model", "round-1", "round-2"], ["round-1", "round-2", "round-3"]),
    ],
)
def test_what_is_trained_on_what_and_what_is_kept(
    changes: dict[str, Any],
    bases: list[str],
    kept: list[str],
    spec: DiverseEvolSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    seen: list[tuple[str, int]] = []
    folders: list[str] = []

    def spy(training: FineTuningSpec, folder: Path, *, is_round: bool) -> dict[str, Any]:
        base = Path(training.base_model_folder)
        table = pq.read_table(training.train_file)
        assert table.column_names == ["position", "sample_id", "messages"]
        assert table["position"].to_pylist() == list(range(1, 1 + table.num_rows))
        seen.append((base.parent.name if base.parent != tmp_path else base.name, table.num_rows))
        return fine_tune(training, folder, is_round=is_round)

    def look(sample_ids: Any, chosen: Any, path: Path) -> None:
        folders.extend(sorted(each.name for each in path.parent.iterdir() if each.is_dir()))
        # Nothing but models is left of the rounds.
        assert not list(path.parent.rglob("part-*")) + list(path.parent.rglob("*.npy"))
        write_picks(sample_ids, chosen, path)

    write_picks = diverse_evol.write_picks
    monkeypatch.setattr(diverse_evol, "fine_tune", spy)
    monkeypatch.setattr(diverse_evol, "write_picks", look)
    select(changed(spec, budget=13, rounds=3, initial_share=0.3, **changes), tmp_path / "out")
    assert seen == list(zip(bases, [4, 7, 10], strict=True))
    assert folders == kept


@pytest.mark.slow
def test_a_small_pool_is_taken_whole(spec: DiverseEvolSpec, tmp_path: Path):
    picks = pq.read_table(select(changed(spec, budget=100, rounds=1, initial_share=0.5), tmp_path / "out"))
    assert sorted(picks["sample_id"].to_pylist()) == sorted(random_samples(30))
    assert picks["round"].to_pylist() == [0] * 15 + [1] * 15
    assert (read_manifest(tmp_path / "out") or {})["summary"]["rounds"][0]["cover_radius"] == 0


def test_sizes_of_rounds():
    assert round_sizes(10_000, 0.1, 3) == [1000, 3000, 3000, 3000]
    assert round_sizes(50_000, 0.1, 3) == [5000, 15_000, 15_000, 15_000]
    assert round_sizes(12, 0.1, 3) == [1, 4, 4, 3]
    assert round_sizes(3, 0.1, 3) == [1, 1, 1]
    assert round_sizes(1, 0.1, 3) == [1]
    assert round_sizes(5, 1.0, 3) == [5]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_min=True), st.integers(1, 20))
def test_rounds_make_up_the_budget(budget: int, share: float, rounds: int):
    start, *adds = round_sizes(budget, share, rounds)
    assert start + sum(adds) == budget
    assert start >= 1
    assert adds == sorted(adds, reverse=True)
    assert len(adds) == min(rounds, budget - start)
    assert not adds or 1 <= adds[-1] >= adds[0] - 1


def test_refuses_impossible_jobs(spec: DiverseEvolSpec, tmp_path: Path):
    with pytest.raises(ValueError, match="budget"):
        DiverseEvolSpec(**{**dict(spec), "budget": 0})
    write_samples(tmp_path / "samples.parquet", {})
    with pytest.raises(ValueError, match=r"samples\.parquet: no samples"):
        select(spec, tmp_path / "out")
    write_samples(tmp_path / "samples.parquet", random_samples(2))
    samples = pq.read_table(tmp_path / "samples.parquet")
    pq.write_table(samples.take([0, 1, 0]), tmp_path / "samples.parquet")
    with pytest.raises(ValueError, match="'s000' occurs more than once"):
        select(spec, tmp_path / "out")
