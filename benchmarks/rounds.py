"""What one more seed costs after many: `python -m benchmarks.rounds --rounds 100`.

A temporary home gets a pool of 60 conversations and a profile whose arms only select. Each round adds one seed of
`random`, runs, and cleans with `--kept-for 0`. The steps that a round computes, its seconds and those of `status`,
snapshots and the bytes of Dagster's folder should stay as they are, but for what the selections themselves take.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import tempfile
from pathlib import Path

import yaml

from orchestration.disk_usage import bytes_of
from resources import build_resources
from resources.snapshots import snapshots
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE

POOL = 60


def _profile(seeds: int) -> dict[str, object]:
    return {
        "pools": {"rows": {"source": {"files": "rows.jsonl"}}},
        "budgets": [6],
        "arms": {"random": {"seeds": list(range(seeds)), "train": False}},
    }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _command(profile: Path, *arguments: str) -> tuple[str, float]:
    """What a command prints, and its seconds of CPU time."""
    printed, before = io.StringIO(), _cpu_seconds()
    with contextlib.redirect_stdout(printed):
        status = main(["--profile", str(profile), *arguments])
    if status:
        raise SystemExit(f"{arguments} ended with {status}")
    return printed.getvalue(), _cpu_seconds() - before


def measure(rounds: int, folder: Path) -> None:
    """Print a row for some of the rounds."""
    os.environ[HOME_VARIABLE] = str(folder / "home")
    rows = [
        {"messages": [{"role": "user", "content": f"Say {i}."}, {"role": "assistant", "content": f"{i}, as you wish."}]}
        for i in range(POOL)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    profile, home = folder / "rounds.yaml", folder / "home" / "rounds"
    print("| seeds | steps computed | CPU s of `run` | CPU s of `status` | snapshots | Dagster, MB |")
    print("|--:|--:|--:|--:|--:|--:|")
    for seeds in range(1, rounds + 1):
        profile.write_text(yaml.safe_dump(_profile(seeds)))
        output, seconds = _command(profile, "run")
        announced = sum(line.startswith("[") for line in output.splitlines())
        computed = announced - output.count("its inputs did not change")
        _command(profile, "clean", "--kept-for", "0")
        _, of_status = _command(profile, "status", "--json")
        if seeds in (1, 2, 3, 5, 10) or seeds % 20 == 0 or seeds == rounds:
            left = len(snapshots(build_resources(home).warehouse))
            megabytes = bytes_of(home / "dagster") / 1e6
            print(f"| {seeds} | {computed} | {seconds:.1f} | {of_status:.2f} | {left} | {megabytes:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.rounds, Path(temporary))
