"""Seconds that `selection-platform status --json` takes, as a process: `python -m benchmarks.status`.

A temporary home folder gets a profile of one pool, one model and many random draws, three partitions for each seed.
Nothing is computed: the instance is told of each materialisation, with the settings, inputs, packages and versions
that the graph would have recorded, and the folders that status looks into get a manifest. So what is measured is the
whole of status, on partitions whose content is made up. Each partition is reported several times, as after a few
refreshes; the newest counts. In the third row all selections were made again with other ids, of which status counts in
the warehouse how many, for each checkpoint against the snapshot that it was trained at.

The last row is a command that opens neither instance nor warehouse: what Python and the imports take.
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
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import yaml

from assets import build_assets
from assets.record.catalog_age import SNAPSHOT
from assets.record.provenance import INPUTS, PACKAGES, SETTINGS, input_name
from assets.record.recording import PACKAGE_NAMES
from orchestration.materialize import open_instance
from orchestration.staleness import Staleness
from resources import build_resources
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import HOME_VARIABLE, Profile, home, load_profile
from selection_platform.job.folder import write_manifest

PROFILE = {
    "description": "Many random draws.",
    "pools": {"rows": {"source": {"files": "rows.jsonl"}}},
    "models": {"tiny": {"hub": "nobody/tiny", "revision": "0123456789abcdef"}},
    "evaluation": {"benchmarks": {name: {"task": f"offline_{name}"} for name in ("gsm8k", "mmlu", "ifeval")}},
    "budgets": [1000],
}


SELECT = """
    SELECT experiment, "position"::INTEGER AS "position", md5(($first + "position")::VARCHAR) AS sample_id
    FROM unnest($experiments::VARCHAR[]) AS experiments(experiment), range(1, 1001) AS places("position")
"""


class Seconds(NamedTuple):
    """That a process took: by the clock, and of processors, which others on the machine hardly change."""

    wall: float
    cpu: float


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=332, help="random draws; three partitions each")
    parser.add_argument("--times", type=int, default=3, help="materialisations of each partition")
    parser.add_argument("--repetitions", type=int, default=5)
    return parser.parse_args()


def write_profile(file: Path, seeds: int, learning_rate: float) -> None:
    arms = {"base": {}, "random": {"seeds": list(range(seeds))}}
    content = {**PROFILE, "arms": arms, "fine_tuning": {"learning_rate": learning_rate}}
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def select(profile: Profile, first: int) -> int:
    """Fill the selections with 1,000 made-up ids each; the snapshot after it."""
    warehouse = build_resources(home(profile)).warehouse
    assert isinstance(warehouse, Warehouse)
    values = {"experiments": [key for key, each in profile.experiments.items() if each.pool], "first": first}
    warehouse.replace("selections.samples", {}, SELECT, values)
    return warehouse.snapshot()


def report_all(
    profile: Profile, instance: dg.DagsterInstance, snapshot: int, only: str | None = None, content: str = "first"
) -> int:
    """Tell the instance that every partition, or those of one asset, was materialised; their number."""
    resources = build_resources(home(profile))
    staleness = Staleness(profile, build_assets(profile), instance, resources)
    packages = dg.MetadataValue.json({name: version(name) for name in PACKAGE_NAMES})
    steps = staleness.graph.steps
    for step in steps:
        for key, partition in step.nodes if only in (None, step.name) else []:
            inputs = {
                input_name(*upstream): f"first version of {input_name(*upstream)}"
                for upstream in staleness.graph.inputs((key, partition))
            }
            metadata = {
                SETTINGS: dg.MetadataValue.json(staleness.graph.declared(key).content(partition)),
                INPUTS: dg.MetadataValue.json(inputs),
                PACKAGES: packages,
                SNAPSHOT: snapshot,
            }
            tags = {
                "dagster/data_version": f"{content} version of {input_name(key, partition)}",
                "dagster/code_version": "1",
            }
            instance.report_runless_asset_event(
                dg.AssetMaterialization(key, partition=partition, metadata=metadata, tags=tags)
            )
    return sum(len(step.nodes) for step in steps)


def write_folders(profile: Profile) -> None:
    """The manifests that status looks for."""
    artifacts = build_resources(home(profile)).artifacts
    assert isinstance(artifacts, ArtifactStore)
    folders = [artifacts.raw_pool("rows"), artifacts.base_model("tiny"), artifacts.report()]
    for folder in (*folders, *map(artifacts.checkpoint, profile.trained_experiments)):
        write_manifest(folder, {"weights_hash": "0" * 64, "versions": {"torch": version("torch")}})


def timed(file: Path, command: list[str], repetitions: int) -> tuple[list[Seconds], dict[str, Any]]:
    """Seconds of each repetition, and what was printed if that is JSON."""
    seconds: list[Seconds] = []
    output = ""
    for _ in range(repetitions):
        started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        line = [sys.executable, "-m", "selection_platform.cli.main", "--profile", str(file), *command]
        output = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        seconds.append(Seconds(time.perf_counter() - started, cpu))
    return seconds, json.loads(output) if "--json" in command else {}


def main() -> None:
    options = arguments()
    rows: list[tuple[str, list[Seconds]]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ[HOME_VARIABLE] = str(Path(folder) / "home")
        file = Path(folder) / "many.yaml"
        (Path(folder) / "rows.jsonl").write_text("{}\n")
        write_profile(file, options.seeds, learning_rate=1e-5)
        profile = load_profile(str(file))
        with open_instance(home(profile)) as instance:
            snapshot = select(profile, first=0)
            partitions = [report_all(profile, instance, snapshot) for _ in range(options.times)][-1]
        write_folders(profile)
        seconds, status = timed(file, ["status", "--json"], options.repetitions)
        assert status["due"] == [], status["due"][:3]
        rows.append((f"status --json, {partitions:,} partitions, none due", seconds))
        write_profile(file, options.seeds, learning_rate=2e-5)
        seconds, status = timed(file, ["status", "--json"], options.repetitions)
        assert len(status["due"]) == options.seeds
        rows.append((f"the same, {len(status['due']):,} due by a setting", seconds))
        write_profile(file, options.seeds, learning_rate=1e-5)
        with open_instance(home(profile)) as instance:
            report_all(profile, instance, select(profile, first=100), only="selection", content="second")
        seconds, status = timed(file, ["status", "--json"], options.repetitions)
        checkpoints = [each for each in status["due"] if each["asset"] == "checkpoint"]
        causes = [cause for each in checkpoints for cause in each["causes"] if "random" in cause]
        assert len(causes) == options.seeds
        assert all(cause.endswith("changed, 100 of 1,000 ids") for cause in causes), causes[:3]
        rows.append((f"the same, {len(causes):,} selections changed", seconds))
        rows.append(("methods, which opens nothing", timed(file, ["methods"], options.repetitions)[0]))
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end=""
    )
    print(f"Python {platform.python_version()}, Dagster {version('dagster')}, load {os.getloadavg()[0]:.1f};")
    print(f"{options.times} materialisations a partition; median (least to most) of {options.repetitions}\n")
    print("| | seconds | of a CPU |\n|---|--:|--:|")
    for name, seconds in rows:
        wall, cpu = ([getattr(each, kind) for each in seconds] for kind in ("wall", "cpu"))
        print(f"| {name} | {statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f}) ", end="")
        print(f"| {statistics.median(cpu):.2f} |")


if __name__ == "__main__":
    main()
