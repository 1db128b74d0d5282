"""Trainings by two processes against one, over CPUs' process group (gloo)."""

import json
import os
import random
import shutil
import socket
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from selection_platform.configuration.settings import FineTuningSettings, LoraSettings
from selection_platform.errors import PlatformError
from selection_platform.models import loading
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from selection_platform.training.sharding import refuse_other_sharding
from tests.architectures import ARCHITECTURES
from tests.specs import changed
from tests.tiny import CONFIGS
from tests.warm_ups import warm_up_spec

KILLS = int(os.environ.get("KILLS", "2"))
"""How many trainings are killed. By hand they were ten."""

# Its server imports torch once, and each process starts as a copy of it.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.training.test_sharding"])


def work(number: int, count: int, port: int, spec: FineTuningSpec, folder: Path, *, double: bool) -> None:
    """Be one process of a job."""
    numbers = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in numbers.items()}, MASTER_ADDR="127.0.0.1")
    if double:
        torch.set_default_dtype(torch.float64)
        loading._DTYPES["float32"] = torch.float64
    fine_tune(spec, folder)


def start(count: int, spec: FineTuningSpec, folder: Path, *, double: bool = False) -> list[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [(number, count, port, spec, folder) for number in range(count)]
    processes = [PROCESSES.Process(target=work, args=each, kwargs={"double": double}) for each in arguments]
    for process in processes:
        process.start()
    return processes


def run(count: int, spec: FineTuningSpec, folder: Path, *, double: bool = False) -> dict[str, Any]:
    """Run a job to its end, and give its manifest."""
    processes = start(count, spec, folder, double=double)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * count
    return json.loads((folder / "manifest.json").read_text())


def kill(processes: list[Any]) -> None:
    for process in processes:
        process.kill()
        process.join()


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "train_log.jsonl").read_text().splitlines()]


# GPT-2 without dropout, whose random numbers depend on the process. Gemma 2's rows are padded.
MODELS = CONFIGS | {"gpt2": ARCHITECTURES["gpt-2"], "gemma-2": ARCHITECTURES["gemma-2"]}


def full(folder: Path, model: str, **changes: Any) -> FineTuningSpec:
    """Twenty-one steps; the third of each three is on two rows and not four."""
    some = {"batch_per_device": 1, "epochs": 7, "lora": None, "keep_epochs": False, "gradient_checkpointing": True}
    return changed(warm_up_spec(folder, MODELS[model]), **(some | changes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("llama", {}),
        ("llama", {"shard": True}),
        # Its head is its embedding.
        ("qwen2", {"shard": True, "gradient_checkpointing": False}),
        ("gpt2", {"shard": True}),
        ("gemma-2", {}),
        ("llama", {"lora": LoraSettings(rank=4), "gradient_checkpointing": False}),
    ],
    ids=["whole", "split", "split and tied", "split and other names", "padded", "adapter"],
)
def test_two_processes_train_as_one(tmp_path: Path, model: str, changes: dict[str, Any]):
    spec = full(tmp_path, model, **changes)
    run(1, spec, tmp_path / "one")
    run(2, spec, tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert len(losses(tmp_path / "two")) == 21
    manifest = json.loads((tmp_path / "two" / "manifest.json").read_text())
    assert manifest["packed"] == (model != "gemma-2")
    one, two = ({path.name: path for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one.keys() & {"config.json", "generation_config.json"}:
        assert one[name].read_bytes() == two[name].read_bytes()
    weights = next(name for name in one if name.endswith(".safetensors"))
    assert one[weights].stat().st_size == two[weights].stat().st_size
    if model == "gpt2":
        # The bias of its keys has no gradient but rounding errors, which Adam makes as large as others.
        return
    ours, theirs = load_file(one[weights]), load_file(two[weights])
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("split", [False, True])
def test_in_double_precision_the_losses_are_the_same_to_nine_digits(tmp_path: Path, split: bool):
    spec = full(tmp_path, "gpt2", shard=split)
    run(1, spec, tmp_path / "one", double=True)
    run(2, spec, tmp_path / "two", double=True)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-9)


@pytest.mark.slow
def test_in_bfloat16_a_split_model_is_saved_as_a_whole_one_is(tmp_path: Path):
    spec = full(tmp_path, "qwen2", shard=True, precision="bfloat16", epochs=2)
    run(1, spec, tmp_path / "one")
    run(2, spec, tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=0.01)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert {name: weight.dtype for name, weight in two.items()} == dict.fromkeys(one, torch.bfloat16)
    assert (tmp_path / "one" / "config.json").read_bytes() == (tmp_path / "two" / "config.json").read_bytes()


@pytest.mark.slow
def test_a_split_training_goes_on_wherever_it_is_killed(tmp_path: Path):
    spec = full(tmp_path, "llama", shard=True, save_steps=1)
    unbroken = run(2, spec, tmp_path / "unbroken")
    # The first run started the server too.
    before = time.monotonic()
    run(2, spec, tmp_path / "timed")
    seconds, moments, killed = time.monotonic() - before, random.Random(0), 0
    while killed < KILLS:
        folder = tmp_path / f"broken-{killed}"
        shutil.rmtree(folder, ignore_errors=True)
        processes = start(2, spec, folder)
        time.sleep(moments.uniform(0.2, 0.9) * seconds)
        kill(processes)
        # It may have been at its end.
        killed += not (folder / "manifest.json").exists()
        assert run(2, spec, folder)["weights_hash"] == unbroken["weights_hash"]
        assert losses(folder) == losses(tmp_path / "unbroken")


def wait_for(found: Callable[[], bool]) -> None:
    while not found():
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on(tmp_path: Path, first: int, second: int):
    spec = full(tmp_path, "qwen2", shard=True, save_steps=4)
    run(1, spec, tmp_path / "unbroken")
    processes = start(first, spec, tmp_path / "broken")
    wait_for(lambda: any((tmp_path / "broken" / "checkpoints").glob("*/whole.json")))
    kill(processes)
    run(second, spec, tmp_path / "broken")
    assert losses(tmp_path / "broken") == pytest.approx(losses(tmp_path / "unbroken"), rel=1e-5)


def test_what_accelerate_would_ignore_on_a_cpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    refuse_other_sharding()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(PlatformError, match=r"ACCELERATE_USE_FSDP is set.*write `fine_tuning: \{shard: true\}`"):
        refuse_other_sharding()


def test_an_adapter_is_not_split():
    with pytest.raises(ValueError, match="shard is for full fine-tuning"):
        FineTuningSettings(shard=True, lora=LoraSettings())
