"""Rows per second and peak memory of reading a pool: `python benchmarks/million_rows.py [--rows N] [--format json]`.

Conversations of 1.7 KB on average are generated into a file; `write_raw_pool` and `write_pool` then run in a process
each. The pool also compares every row with 5,000 benchmark texts and keeps 10,000 rows.
"""

import argparse
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import PoolSettings, SourceSettings
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool

SYLLABLES = ("ba", "de", "li", "mo", "nu", "ra", "se", "ti", "vo", "ka", "pe", "sho")
SOUP_WORDS = 2_000_000
AVERAGE_CHARACTERS = 1700
LIMIT = 10_000
ROWS_PER_GROUP = 50_000
SCHEMA = pa.schema([("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))])


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


def write_rows(path: Path, rows: int) -> None:
    """Write the conversations as one file: lines, one JSON list, or Parquet."""
    lines = conversations(rows)
    if path.suffix == ".parquet":
        with pq.ParquetWriter(path, SCHEMA) as writer:
            while batch := [json.loads(line) for line in itertools.islice(lines, ROWS_PER_GROUP)]:
                writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
        return
    with path.open("w") as output:
        if path.suffix == ".json":
            output.write("[")
            output.writelines("," * (number > 0) + line for number, line in enumerate(lines))
            output.write("]")
        else:
            output.writelines(lines)


def benchmark_texts() -> list[str]:
    """Invented benchmark items of about 60 words."""
    soup = word_soup(2)
    return [soup[start : start + 400] for start in range(0, 5000 * 400, 400)]


def run_stage(stage: str, folder: Path, file: str) -> None:
    settings = PoolSettings(source=SourceSettings(files=str(folder / file)), limit=LIMIT, held_out=0.01)
    started, cpu = time.monotonic(), time.process_time()
    if stage == "raw_pool":
        rows = write_raw_pool(settings, folder / "raw_pool").rows
    else:
        report = write_pool(settings, folder / "raw_pool", benchmark_texts(), folder / "pool")
        rows = report.rows
        print(f"{stage}: kept {report.kept}, dropped {report.dropped}")
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        kibibytes //= 1024
    speed = f"{seconds:.1f} s, {cpu:.1f} s of CPU time, {rows / seconds:,.0f} rows/s"
    print(f"{stage}: {speed}, peak memory {kibibytes / 2**20:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--stage", choices=["raw_pool", "pool"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--format", choices=["jsonl", "json", "parquet"], default="jsonl")
    arguments = parser.parse_args()
    name = f"rows.{arguments.format}"
    if arguments.stage:
        run_stage(arguments.stage, arguments.folder, name)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        write_rows(file, arguments.rows)
        print(f"{arguments.rows:,} rows, {file.stat().st_size / 1e9:.2f} GB", flush=True)
        for stage in ("raw_pool", "pool"):
            command = [sys.executable, __file__, "--stage", stage, "--folder", folder, "--format", arguments.format]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
