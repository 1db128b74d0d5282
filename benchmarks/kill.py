"""Kill jobs with SIGKILL at random moments, run them again, and compare what they leave with an unbroken run.

Run by hand:

    python -m benchmarks.kill --kills 30

For each job: once unbroken, timed; then kills at moments drawn evenly over that time. After each kill the job starts
again in the same folder, so that its work is cut short again and again; after the last it ends. Where it ends before
its kill, it begins again in an empty folder, so that every kill counted is one that hit. What must be the same: the
bytes of every file that the job has for its result, a training's losses among them. A child is forked for each start,
so that torch is imported once.
"""

import argparse
import hashlib
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from resources.warehouse import Warehouse
from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.configuration.settings import FineTuningSettings, ScoringSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.evaluation.benchmark_data import prepare
from selection_platform.evaluation.harness import evaluate
from selection_platform.evaluation.spec import EvaluationSpec
from selection_platform.evaluation.worked_examples import write_targets
from selection_platform.features.answer_likelihood import LikelihoodSpec, score
from selection_platform.methods.less.gradient_influence import InfluenceSpec, measure
from selection_platform.methods.zip.picks import write_picks
from selection_platform.methods.zip.selection import ZipSettings
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from tests.tiny import CONFIGS, random_samples, save_model, write_samples
from tests.warm_ups import warm_up_spec

WAREHOUSE_WRITES = 20
RESULT_ENDINGS = (".parquet", ".safetensors", ".jsonl")
"""Scores, picks and results; weights; a training's loss at each step. Manifests tell seconds, which differ."""

Job = Callable[[Path], object]
Result = Callable[[Path], dict[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.platform()}, {os.cpu_count()} threads, torch {torch.__version__}\n")
    print("| job | unbroken, s | kills | files compared | differing |\n|---|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, job, result in jobs(Path(folder)):
            print(row(name, job, result, Path(folder) / name, options), flush=True)


def row(name: str, job: Job, result: Result, folder: Path, options: argparse.Namespace) -> str:
    """Run one job unbroken and broken, and say how the results compare."""
    started = time.monotonic()
    finished(job, folder / "unbroken", None)
    seconds = time.monotonic() - started
    expected = result(folder / "unbroken")
    moments = random.Random(options.seed)
    kills, compared, differing = 0, 0, 0
    while kills < options.kills:
        if finished(job, folder / "broken", moments.uniform(0, seconds)):
            found = result(folder / "broken")
            compared += len(found)
            differing += sum(found.get(file) != expected.get(file) for file in found.keys() | expected.keys())
            shutil.rmtree(folder / "broken")
        else:
            kills += 1
    finished(job, folder / "broken", None)
    found = result(folder / "broken")
    compared += len(found)
    differing += sum(found.get(file) != expected.get(file) for file in found.keys() | expected.keys())
    return f"| {name} | {seconds:.1f} | {kills} | {compared} | {differing} |"


def finished(job: Job, folder: Path, kill_after: float | None) -> bool:
    """Whether the job ended by itself; otherwise it was killed after some seconds.

    Raises:
        RuntimeError: the job ended with an error.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _run(job, folder)
    deadline = None if kill_after is None else time.monotonic() + kill_after
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.002)
    if ended[1]:
        raise RuntimeError(f"a job in {folder} failed")
    return True


def _run(job: Job, folder: Path) -> NoReturn:
    """What a child does; its parent's clean-up is not its own."""
    status = 1
    try:
        # What a job prints is of no interest, but for an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        folder.mkdir(parents=True, exist_ok=True)
        job(folder)
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def file_results(folder: Path) -> dict[str, str]:
    """Hash of each file of a result, by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in RESULT_ENDINGS
    }


def warehouse_results(folder: Path) -> dict[str, str]:
    """Content of each partition."""
    warehouse = Warehouse(folder=str(folder / "warehouse"))
    return {
        str(number): warehouse.content_hash("scores.random", {"pool": str(number), "model": None})
        for number in range(WAREHOUSE_WRITES)
    }


def jobs(folder: Path) -> list[tuple[str, Job, Result]]:
    """Each job with what it needs, of a second or a few."""
    save_model(folder / "model", CONFIGS["llama"])
    write_samples(folder / "many.parquet", random_samples(2000))
    write_samples(folder / "few.parquet", random_samples(300))
    write_targets({"few": list(random_samples(20).values())}, folder / "targets.parquet")
    model, many, few = (str(folder / name) for name in ("model", "many.parquet", "few.parquet"))
    warm_up = warm_up_spec(folder / "warm", CONFIGS["llama"])
    finished(lambda out: fine_tune(warm_up, out / "warm"), folder / "warm-up", None)
    prepare(folder / "items")
    trained = pq.read_table(few)
    pq.write_table(trained.append_column("position", pa.array(range(len(trained)))), folder / "train.parquet")
    scoring = LikelihoodSpec(
        model_folder=model, samples_file=many, dtype="float32", text=PAPER,
        scoring=ScoringSettings(max_length=60, tokens_per_batch=256, logit_rows=50, samples_per_shard=50),
    )  # fmt: skip
    influence = InfluenceSpec(
        warmup_folder=str(folder / "warm-up" / "warm"), samples_file=few, targets_file=str(folder / "targets.parquet"),
        scoring=ScoringSettings(max_length=60, tokens_per_batch=256, logit_rows=50, samples_per_shard=5),
        dtype="float32", text=PAPER,
    )  # fmt: skip
    training = FineTuningSpec(
        base_model_folder=model, train_file=str(folder / "train.parquet"), seed=0, text=PAPER, precision="float32",
        recipe=FineTuningSettings(
            epochs=2, learning_rate=3e-3, global_batch=4, batch_per_device=2, max_length=60, save_steps=3
        ),
    )  # fmt: skip
    evaluation = EvaluationSpec(
        model_folder=model, data_folder=str(folder / "items"), files={}, held_out={"few": few},
        evaluation=EvaluationSettings(benchmarks={"mmlu": BenchmarkSettings(task="offline_mmlu", limit=20)}),
        dtype="float32", text=PAPER, tokens_per_batch=256, max_length=60,
    )  # fmt: skip
    return [
        ("scoring", lambda out: score(scoring, out), file_results),
        ("LESS", lambda out: measure(influence, out), file_results),
        ("ZIP", lambda out: write_picks(Path(many), 200, ZipSettings(k1=1000, k2=50, k3=10), out), file_results),
        ("fine-tuning", lambda out: fine_tune(training, out / "out"), file_results),
        ("evaluation", lambda out: evaluate(evaluation, out), file_results),
        ("warehouse write", write_partitions, warehouse_results),
    ]


def write_partitions(folder: Path) -> None:
    """Replace partitions one after another."""
    warehouse = Warehouse(folder=str(folder / "warehouse"))
    rows = "SELECT printf('%06d', range) AS sample_id, hash(range + $number) / 2e19 AS score FROM range(20000)"
    for number in range(WAREHOUSE_WRITES):
        warehouse.replace("scores.random", {"pool": str(number), "model": None}, rows, {"number": number})


if __name__ == "__main__":
    main()
