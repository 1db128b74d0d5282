"""Rows per second and peak memory of reading a pool: `python benchmarks/million_rows.py [--rows N]`.

Conversations of 1.7 KB on average are generated into a JSONL file; `write_raw_pool` and `write_pool` then run in a
process each. The pool also compares every row with 5,000 benchmark texts and keeps 10,000 rows.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from selection_platform.configuration.pool_settings import PoolSettings, SourceSettings
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool

SYLLABLES = ("ba", "de", "li", "mo", "nu", "ra", "se", "ti", "vo", "ka", "pe", "sho")
SOUP_WORDS = 2_000_000
AVERAGE_CHARACTERS = 1700
LIMIT = 10_000


def word_soup(seed: int) -> str:
    """Two million invented words."""
    random_numbers = random.Random(seed)
    vocabulary = ["".join(random_numbers.choices(SYLLABLES, k=random_numbers.randint(1, 4))) for _ in range(20_000)]
    return " ".join(random_numbers.choices(vocabulary, k=SOUP_WORDS))


def conversations(rows: int) -> Iterator[str]:
    """Lines of the generated file; every conversation differs from all others."""
    soup = word_soup(0)
    random_numbers = random.Random(1)
    for row in range(rows):
        start = random_numbers.randrange(len(soup) - 2 * AVERAGE_CHARACTERS)
        middle = start + random_numbers.randint(50, 500)
        end = start + random_numbers.randint(600, 2 * AVERAGE_CHARACTERS - 600)
        messages = [
            {"role": "user", "content": f"{row} {soup[start:middle]}"},
            {"role": "assistant", "content": soup[middle:end]},
        ]
        yield json.dumps({"messages": messages}) + "\n"


def benchmark_texts() -> list[str]:
    """Invented benchmark items of about 60 words."""
    soup = word_soup(2)
    return [soup[start : start + 400] for start in range(0, 5000 * 400, 400)]


def run_stage(stage: str, folder: Path) -> None:
    settings = PoolSettings(source=SourceSettings(files=str(folder / "rows.jsonl")), limit=LIMIT, held_out=0.01)
    started = time.monotonic()
    if stage == "raw_pool":
        rows = write_raw_pool(settings, folder / "raw_pool").rows
    else:
        report = write_pool(settings, folder / "raw_pool", benchmark_texts(), folder / "pool")
        rows = report.rows
        print(f"{stage}: kept {report.kept}, dropped {report.dropped}")
    seconds = time.monotonic() - started
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        kibibytes //= 1024
    print(f"{stage}: {seconds:.1f} s, {rows / seconds:,.0f} rows/s, peak memory {kibibytes / 2**20:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--stage", choices=["raw_pool", "pool"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        run_stage(arguments.stage, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "rows.jsonl"
        with file.open("w") as output:
            output.writelines(conversations(arguments.rows))
        print(f"{arguments.rows:,} rows, {file.stat().st_size / 1e9:.2f} GB", flush=True)
        for stage in ("raw_pool", "pool"):
            command = [sys.executable, __file__, "--stage", stage, "--folder", name]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
