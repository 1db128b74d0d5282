"""What to run the first time that a GPU is there: does all of it work, how fast, and in how much memory?

    python -m benchmarks.gpu_first_run
    python -m benchmarks.gpu_first_run --tiny

About ten minutes on an H100 of 80 GB, by arithmetic; `--only NAME,NAME` runs some checks. Each prints lines

    what | expected | measured | ok

with LOOK in place of ok where the measured value is another. The exit status is 1 if any line says LOOK, or a check
ended with an error. `--tiny` tries all checks at toy sizes on the CPU, which then stands for the GPU: numbers are
compared, but rates and peaks of memory are not judged.

It needs what a node needs that only runs jobs (docs/install.md), and no network. Models have random weights.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.gpu_check import Line, Trial

    Check = Callable[[Trial], Iterator[Line]]

NEEDED = ("torch", "transformers", "peft", "accelerate", "numpy", "pyarrow", "pydantic", "jinja2", "orjson")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="toy sizes on the CPU")
    parser.add_argument("--only", metavar="NAME,NAME", help="these checks alone")
    return parser.parse_args()


def prepare(*, tiny: bool) -> None:
    """Set what torch and the hub's client read once, when they are imported or first used."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Without it, cuBLAS has no deterministic algorithms.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if tiny:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def checks() -> "dict[str, Check]":
    """All checks by name, the quick ones first."""
    from benchmarks import gpu_at_7b, gpu_jobs

    listed: Sequence[Check] = (
        gpu_at_7b.matrix_rate, gpu_jobs.same_numbers, gpu_jobs.same_bytes, gpu_jobs.another_batching,
        gpu_jobs.training_twice, gpu_at_7b.packed_gradients, gpu_at_7b.logits, gpu_at_7b.shared_pass,
        gpu_at_7b.influence, gpu_at_7b.lora_step, gpu_at_7b.packed_rate, gpu_at_7b.decoding, gpu_at_7b.full_step,
        gpu_at_7b.million_rows,
    )  # fmt: skip
    return {check.__name__: check for check in listed}


def passes(name: str, check: "Check", trial: "Trial") -> bool:
    """Run a check and print its lines; whether nothing is wrong."""
    good, started = True, time.monotonic()
    # Models of the check before, which may hold themselves.
    gc.collect()
    try:
        for line in check(trial):
            print(line, flush=True)
            good &= line.is_good is not False
    # Any error: the card may be lent for minutes, in which the other checks have to run.
    except Exception:
        traceback.print_exc()
        print(f"{name} | no error | failed, see above | LOOK", flush=True)
        good = False
    print(f"    {name}: {time.monotonic() - started:.0f} s", flush=True)
    return good


def main() -> int:
    """The exit status."""
    options = arguments()
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"Not installed: {', '.join(missing)}; pip install {' '.join(missing)}", file=sys.stderr)
        return 2
    prepare(tiny=options.tiny)
    import torch

    if not options.tiny and not torch.cuda.is_available():
        print("torch finds no GPU here; --tiny tries the checks on the CPU", file=sys.stderr)
        return 2
    known = checks()
    wanted = options.only.split(",") if options.only else list(known)
    if unknown := [name for name in wanted if name not in known]:
        print(f"--only: no check {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    from benchmarks.gpu_check import Trial

    with tempfile.TemporaryDirectory(prefix="gpu-first-run-") as folder:
        trial = Trial(options.tiny, Path(folder))
        results = [passes(name, known[name], trial) for name in wanted]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
