"""What a profile costs, before it runs: against what the jobs of a finished run counted."""

import json
from types import SimpleNamespace

import pytest
import yaml

from assets.record.cost_ledger import entries
from orchestration import estimate as module
from orchestration.estimate import Estimator, estimate
from orchestration.workspace import open_workspace
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile, shipped_profiles
from selection_platform.estimate.machines import FLOAT32_SHARE, Device, Machine
from selection_platform.experiments.methods import METHODS
from selection_platform.models.dropped_weights import weight_files
from tests.small_run import change_profile, output_of

RATES = {"float32": 1e9, "bfloat16": 4e9}
HERE = Machine(1, Device("CPU", 10**10, RATES, RATES, 1e9, 0.001), here=True, is_cpu=True, notes=("A note.",))


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """A machine that is measured in no time, and the same in every test."""
    monkeypatch.setattr(module, "_this_machine", lambda _: HERE)


def test_the_arithmetic_is_what_the_jobs_counted(place):
    with open_workspace(load_profile(str(place.profile))) as workspace:
        counted: dict[str, float] = {}
        for entry in entries(workspace.instance):
            spent = entry.cost["forward_flops"] + entry.cost["backward_flops"]
            counted[entry.asset] = counted.get(entry.asset, 0.0) + spent
        found: dict[str, float] = {}
        for task in Estimator(workspace).tasks.values():
            operations = task.compute.forward_flops + task.compute.backward_flops
            found[task.asset] = found.get(task.asset, 0.0) + operations
    by_models = {asset for asset, operations in counted.items() if operations}
    assert by_models == {"base_model", "answer_likelihood", "checkpoint", "benchmark_result"}
    for asset in by_models:
        assert found[asset] == pytest.approx(counted[asset], rel=0.02), asset


def test_a_dry_run_and_the_estimate_say_the_same_time(place, capsys):
    # New trainings and their evaluations: their assets were made before, so their time is the ledger's.
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    told = output_of(capsys, place, "run", "--dry-run").splitlines()
    found = json.loads(output_of(capsys, place, "estimate", "--json"))
    (line,) = [line for line in told if line.startswith("From earlier runs")]
    seconds = 3600 * found["hours"]
    assert line == f"From earlier runs, else by arithmetic: about {seconds:.0f} s for all of them"
    assert found["steps_of_unknown_time"] == 0
    assert {
        each["stage"]: each["steps"] for each in found["stages"] if each["stage"] in ("training", "evaluation")
    } == {"training": 4, "evaluation": 4}


def test_nothing_to_make(place, capsys):
    assert output_of(capsys, place, "estimate").startswith("Nothing is to be made; with --all,")
    assert "pre-training" in output_of(capsys, place, "estimate", "--all")


def test_an_evaluation_counts_under_the_settings_of_now(place):
    def evaluation():
        with open_workspace(load_profile(str(place.profile))) as workspace:
            known = Estimator(workspace)._sizes.known.evaluated
            tasks = Estimator(workspace).tasks.values()
            return known, next(task.compute.forward_flops for task in tasks if task.asset == "benchmark_result")

    counted, before = evaluation()
    assert set(counted) == {"tiny"}
    change_profile(place, fine_tuning={"learning_rate": 0.002}, evaluation={"batch_size": 3})
    assert evaluation() == (counted, before)
    change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 50}}})
    counted, after = evaluation()
    assert (counted, after > 5 * before) == ({}, True)


def test_what_is_on_the_disk_needs_no_more_room(place, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with open_workspace(load_profile(str(place.profile))) as workspace:
        whole = estimate(workspace, whole=True)
        (weights, *_) = {task.disk for task in Estimator(workspace).tasks.values() if task.asset == "checkpoint"}
        pool = Estimator(workspace)._tasks.pool_on_disk("letters")
    assert (whole.disk > pool + 4 * weights, whole.faults) == (True, [])
    # Four checkpoints are replaced, one after the other; each evaluation's is 20 MB.
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    with open_workspace(load_profile(str(place.profile))) as workspace:
        again = estimate(workspace)
        trained = [experiment.key for experiment in workspace.profile.trained_experiments.values() if experiment.pool]
        assert again.disk == 2e7
        (fault,) = again.faults
        assert fault.endswith("or write `checkpoints: {keep: none}`, which drops weights after their evaluation")
        # One whose weights are gone is new.
        for weights_file in weight_files(workspace.resources.artifacts.checkpoint(trained[0])):
            weights_file.unlink()
        assert estimate(workspace).disk == 2e7 + weights
    change_profile(place, checkpoints={"keep": "none"})
    with open_workspace(load_profile(str(place.profile))) as workspace:
        (fault,) = estimate(workspace).faults
    assert fault.endswith("are free; free some space")


def test_another_machine_takes_no_time_from_the_ledger(place):
    with open_workspace(load_profile(str(place.profile))) as workspace:
        here = estimate(workspace, whole=True)
        there = estimate(workspace, "8 x 80 GB", whole=True)
    assert (here.unknown, here.free is None) == (0, False)
    assert there.unknown > 0
    assert there.free is None
    by_name = {stage.name: stage for stage in there.stages}
    training = by_name["training"]
    # The profile computes in float32.
    assert training.hours == pytest.approx(training.petaflop * 1e15 / (989e12 * FLOAT32_SHARE) / 3600)
    assert any("uses 1 of 8 devices" in note for note in there.notes)
    change_profile(place, jobs={"run": "child", "slots": 8})
    with open_workspace(load_profile(str(place.profile))) as workspace:
        side_by_side = estimate(workspace, "8 x 80 GB", whole=True)
    (again,) = [stage for stage in side_by_side.stages if stage.name == "training"]
    assert again.steps == training.steps < 8
    assert training.hours is not None
    assert again.hours == pytest.approx(training.hours / training.steps)
    assert not any("devices" in note for note in side_by_side.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "machine", "hours"), [("paper", "4 x 80 GB", 200), ("paper-lite", "1 x 24 GB", 42)]
)
def test_the_shipped_profiles_fit_what_they_are_for(tmp_path, monkeypatch, capsys, profile, machine, hours):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path))
    assert main(["--profile", profile, "estimate", "--machine", machine]) == 0
    output = capsys.readouterr().out
    assert "Does not fit" not in output
    (in_all,) = [line for line in output.splitlines() if line.startswith("In all about ")]
    # As docs/profiles.md says.
    assert float(in_all.split()[3]) == pytest.approx(hours, rel=0.05)


@pytest.mark.slow
def test_the_papers_recipe_does_not_fit_one_gpu_of_80_gb(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path))
    profile = yaml.safe_load(shipped_profiles()["paper"].read_text()) | {"jobs": {"run": "child"}}
    profile["fine_tuning"]["shard"] = False
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(profile))
    assert main(["--profile", str(tmp_path / "one.yaml"), "estimate", "--machine", "8 x 80 GB"]) == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    said = " ".join(output.split())
    assert "models.qwen2-7b: DiverseEvol, training on all data, training (full fine-tuning on 4 x 4,096 tokens" in said
    assert "about 135 GB of memory are needed, and H100 has 80 GB; `fine_tuning: {optimizer: adamw_8bit}`" in said
    (in_all,) = [line for line in output.splitlines() if line.startswith("In all about ")]
    # 842 H100-hours by hand, of the same assumptions.
    assert float(in_all.split()[3].replace(",", "")) == pytest.approx(842, rel=0.05)


@pytest.mark.slow
def test_a_profile_without_models(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    (tmp_path / "chats.jsonl").write_text('{"messages": []}\n')
    profile = {
        "pools": {"chats": {"source": {"files": "chats.jsonl"}}},
        "arms": {"random": {"train": False}},
        "budgets": [1],
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(profile))
    assert main(["--profile", str(tmp_path / "own.yaml"), "estimate"]) == 0
    assert "How long it takes is not known: none of it was made before, and no model" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("targets", "cut"),
    [
        (None, "shared"),
        ({"math": {"benchmarks": ["gsm8k"]}, "chat": {"pool_samples": 5}}, "shared"),
        # One way of LESS: the published warm-up is the profile's own.
        ({"math": {"benchmarks": ["gsm8k"]}}, "tail"),
    ],
)
def test_every_step_of_a_model_is_counted(tmp_path, monkeypatch, targets, cut):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    profile = yaml.safe_load(shipped_profiles()["demo"].read_text())
    profile["arms"] = {method: {} for method in METHODS}
    profile["less"]["training"] |= {"answers": "last", "cut": cut}
    if targets:
        profile["targets"] = targets
        del profile["less"]["target_samples"]
    (tmp_path / "full.yaml").write_text(yaml.safe_dump(profile))
    with open_workspace(load_profile(str(tmp_path / "full.yaml"))) as workspace:
        counted = Estimator(workspace).tasks
        steps = [step for step in workspace.staleness.graph.steps if step.asset.op.pool == "gpu"]
        named = {key.to_user_string() for step in steps for key in step.asset.keys}
        left_out = [step for step in steps if not any((name, step.partition_key) in counted for name in step.names)]
    # The base model's own checkpoint is trained on nothing.
    assert {str(step) for step in left_out} == {"checkpoint  base/demo-3m"}
    if targets:
        assert {"warmup_checkpoint", "gradient_influence.math", "target_embedding.math"} <= named


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["less.round_robin", "km_less.math", "less.published.math"])
def test_one_targeted_arm_is_enough(tmp_path, monkeypatch, arm):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    profile = yaml.safe_load(shipped_profiles()["demo"].read_text())
    profile |= {"arms": {arm: {}}, "targets": {name: {"benchmarks": ["gsm8k"]} for name in ("math", "default")}}
    del profile["pool_size_study"], profile["less"]["target_samples"], profile["selectit"]
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(profile))
    with open_workspace(load_profile(str(tmp_path / "one.yaml"))) as workspace:
        counted = {asset for asset, _ in Estimator(workspace).tasks}
        made = {
            key.to_user_string()
            for step in workspace.staleness.graph.steps
            for key in step.asset.keys
            if step.asset.op.pool == "gpu"
        }
    assert {name for name in made if "warmup" in name or "influence" in name} <= counted


@pytest.mark.slow
def test_what_vllm_takes_is_not_known_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    profile = yaml.safe_load(shipped_profiles()["demo"].read_text())
    notes, hours = [], []
    for name, engine in (("ours", {}), ("theirs", {"engine": "vllm", "vllm_version": "1", "vllm_python": "/v/python"})):
        changed = {**profile, "evaluation": {**profile["evaluation"], **engine}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(changed))
        with open_workspace(load_profile(str(tmp_path / f"{name}.yaml"))) as workspace:
            found = estimate(workspace)
        notes.append([note for note in found.notes if "vLLM" in note])
        hours += [stage.hours is not None for stage in found.stages if stage.name == "evaluation"]
    told = "Evaluations by vLLM: how long they take is known once one was made. With a small model on a CPU they took "
    assert notes == [[], [told + "about half of what transformers takes; on a GPU they were not timed."]]
    assert hours == [True, False]


@pytest.mark.slow
def test_without_the_encoders_sizes_all_else_is_estimated_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "chats.jsonl").write_text('{"messages": []}\n')
    profile = {
        "pools": {"chats": {"source": {"files": "chats.jsonl"}, "base_model": 0.5}},
        "models": {"tiny": {"pretraining": {"steps": 1, "context": 4096}}},
        "evaluation": {"benchmarks": {}},
        "k_means": {"vectors": "encoder", "clusters": 1},
        "arms": {"random": {}, "k_center": {}, "km_token_length": {}},
        "budgets": [1],
    }
    hub = {"encoder": {"hub": "nobody/none", "revision": "0123456"}}
    found = []
    for name, encoder in (("package", {}), ("hub", hub)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(profile | encoder))
        with open_workspace(load_profile(str(tmp_path / f"{name}.yaml"))) as workspace:
            found.append(estimate(workspace))
    whole, without = ({stage.name: stage for stage in each.stages} for each in found)
    rest = "the rest, on the CPU"
    assert whole.keys() - without.keys() == {"sentence encoder", "k-means"}
    assert all(without[name] == whole[name] for name in without if name != rest)
    assert without[rest].steps == whole[rest].steps + 2
    said = [[note for note in each.notes if "encoder" in note] for each in found]
    told = (
        "The sentence encoder is not counted: nobody/none at 0123456 cannot be fetched (LocalEntryNotFoundError); "
        "check the id, the commit and the network, and for a private model that you ran `hf auth login`."
    )
    assert said == [[], [told]]


@pytest.mark.slow
def test_a_run_refuses_what_cannot_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "host_memory", lambda: 16 * 10**9)
    monkeypatch.setattr(module, "devices_here", lambda _: None)
    (tmp_path / "chats.jsonl").write_text('{"messages": []}\n')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    llama = {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    }  # fmt: skip
    (tmp_path / "model" / "config.json").write_text(json.dumps(llama))
    profile = {
        "pools": {"chats": {"source": {"files": "chats.jsonl"}}},
        "models": {"one-b": {"path": "model"}},
        "scoring": {"max_length": 512, "tokens_per_batch": 2048},
        "fine_tuning": {"max_length": 512, "gradient_checkpointing": True, "global_batch": 8, "batch_per_device": 8},
        "evaluation": {"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 1}}, "batch_size": 1},
        "arms": {"random": {}},
        "budgets": [1],
        "dtype": "float32",
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(profile))
    assert main(["--profile", str(tmp_path / "own.yaml"), "run"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("selection-platform: models.one-b: training (full fine-tuning on 8 x 512 tokens at once): ")
    assert line.endswith("are needed, and this machine has 16 GB; `fine_tuning: {lora: {rank: 16}}` needs about 8.4 GB")
    with open_workspace(load_profile(str(tmp_path / "own.yaml"))) as workspace:
        wanted = {"checkpoint": list(workspace.profile.trained_experiments)}
        assert len(module.memory_faults(workspace, wanted)) == 1
        # A GPU whose memory nvidia-smi does not tell refuses nothing.
        monkeypatch.setattr(module, "devices_here", lambda _: (1, "GB10", None))
        assert module.memory_faults(workspace, wanted) == []
