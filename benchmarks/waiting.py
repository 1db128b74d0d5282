"""What it costs that idle threads of OpenMP keep their cores busy, and what it saves that they sleep.

Run by hand, on a machine that is otherwise quiet:

    python -m benchmarks.waiting --repeats 3
    python -m benchmarks.waiting --repeats 1 --chain

Twenty training steps of a model of the demo's size, in a process of their own: alone, beside a process that keeps one
core busy, and two such trainings at once. Once with OpenMP's own default, and once as `selection_platform` sets it.
Only the training is timed, and not the imports. Both ways take turns, and the median counts.

With --chain, `selection-platform run` of the tests' small profile in place of a training: from raw pool to report, with
four trainings, imports and all. Little of it is arithmetic, so its ratios are those of a light chain.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# Before our package, which would set how threads wait: OpenMP reads it when torch is imported.
import torch  # isort: skip
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.shared_pass import save_random_model, save_samples
from selection_platform.configuration.settings import FineTuningSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune

STEPS, BATCH = 20, 8
WAYS = {"OpenMP's default": None, "passive": "passive"}
CASES = ("alone", "beside a busy process", "two at once")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chain", action="store_true", help="measure whole small chains, not trainings")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--run-chain", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def save_inputs(folder: Path) -> None:
    """A random model of the demo's size, and conversations for the steps."""
    sizes = argparse.Namespace(hidden=192, layers=4, vocab=4096, max_length=1024)
    save_random_model(folder / "model", sizes)
    save_samples(folder / "samples.parquet", STEPS * BATCH, 150, 1)
    samples = pq.read_table(folder / "samples.parquet")
    pq.write_table(samples.append_column("position", pa.array(range(samples.num_rows))), folder / "samples.parquet")


def train(folder: Path) -> None:
    """Print the seconds of the training: by the clock, and of all cores."""
    spec = FineTuningSpec(
        base_model_folder=str(folder / "model"), train_file=str(folder / "samples.parquet"), seed=0, text=PAPER,
        precision="float32",
        recipe=FineTuningSettings(epochs=1, global_batch=BATCH, batch_per_device=BATCH, max_length=384),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        started, cpu = time.perf_counter(), time.process_time()
        fine_tune(spec, Path(scratch) / "out")
        seconds = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    print(json.dumps(seconds | {"threads": torch.get_num_threads()}))


def run_chain(folder: Path) -> None:
    """Run the small profile in a home of its own, and print the seconds: by the clock, and of all cores."""
    from tests.small_run import PROFILE, conversations

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pool, profile = Path(scratch) / "letters.jsonl", Path(scratch) / "small.yaml"
        pool.write_text("\n".join(json.dumps({"messages": row}) for row in conversations(60, 0)))
        pools = {"letters": PROFILE["pools"]["letters"] | {"source": {"files": str(pool)}}}
        profile.write_text(yaml.safe_dump(PROFILE | {"pools": pools}, sort_keys=False))
        command = [str(Path(sys.executable).with_name("selection-platform")), "--profile", str(profile), "run"]
        # Empty is OpenMP's own default too, and the command leaves what is set.
        environment = {"OMP_WAIT_POLICY": "", **os.environ, "SELECTION_PLATFORM_HOME": scratch}
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "threads": torch.get_num_threads()}))


def start(folder: Path, what: str, policy: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-m", "benchmarks.waiting", what, "--folder", str(folder)]
    return subprocess.Popen(
        command,
        env=environment | ({"OMP_WAIT_POLICY": policy} if policy else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def busy(processes: int):
    """Processes that keep a core busy each."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measured(folder: Path, what: str, case: str, policy: str | None) -> list[dict[str, float]]:
    with busy(1 if case == "beside a busy process" else 0):
        started = [start(folder, what, policy) for _ in range(2 if case == "two at once" else 1)]
        return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


def main() -> None:
    options = arguments()
    if options.folder:
        (train if options.train else run_chain)(options.folder)
        return
    what = "--run-chain" if options.chain else "--train"
    found: dict[tuple[str, str], list[dict[str, float]]] = {(case, way): [] for case in CASES for way in WAYS}
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        save_inputs(Path(scratch))
        for _ in range(options.repeats):
            for case, way in found:
                found[case, way] += measured(Path(scratch), what, case, WAYS[way])
                print(case, way, found[case, way][-1], file=sys.stderr, flush=True)
    threads = next(iter(found.values()))[0]["threads"]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {threads:.0f} threads, torch {torch.__version__}")
    print(f"load average before: {load[0]:.1f} (1 minute), {load[1]:.1f} (5 minutes); {options.repeats} repeats")
    print(f"{'':24}" + "".join(f"{way + ', s':>20}{'CPU s':>8}" for way in WAYS) + f"{'ratio':>8}")
    for case in CASES:
        seconds = [statistics.median(run["seconds"] for run in found[case, way]) for way in WAYS]
        cpu = [statistics.median(run["cpu"] for run in found[case, way]) for way in WAYS]
        cells = "".join(f"{each:20.1f}{core:8.1f}" for each, core in zip(seconds, cpu, strict=True))
        print(f"{case:24}{cells}{seconds[0] / seconds[1]:8.1f}")


if __name__ == "__main__":
    main()
