"""A small profile, all of it materialised once; what changes in it, what is due, and what was made again."""

import json
import os
import random
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from assets.record.provenance import input_name, latest_provenance
from orchestration.materialize import open_instance
from resources.read_only_home import size_and_time
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE

THINGS = ["red fox", "old bridge", "quiet river", "paper boat", "small town", "green apple", "long road", "blue door"]
RANDOM = [f"random/letters/tiny/6/s{seed}" for seed in range(3)]
TOKEN_LENGTH, ENTROPY = "token_length/letters/tiny/6/s0", "entropy/letters/tiny/6/s0"
TRAINED = [RANDOM[0], RANDOM[1], TOKEN_LENGTH, ENTROPY]
RESULT_REPORTS = {"leaderboard", "verdict"}
SELECTION_REPORTS = {"selection_overlap", "selection_profile"}
REPORTS = {*RESULT_REPORTS, *SELECTION_REPORTS, "cost_ledger", "report"}
FORWARD_PASS = {"answer_likelihood letters/tiny", "sample_embedding letters/tiny"}

PROFILE: dict[str, Any] = {
    "description": "A test.",
    "dtype": "float32",
    "pools": {"letters": {"source": {"files": "letters.jsonl"}, "held_out": 0.1, "base_model": 0.3}},
    "models": {
        "tiny": {
            "pretraining": {
                "steps": 5, "vocab_size": 320, "hidden_size": 16, "intermediate_size": 16, "layers": 1, "heads": 2,
                "context": 256, "block_length": 64,
            }
        }
    },
    "scoring": {"max_length": 128, "tokens_per_batch": 1024, "logit_rows": 64, "samples_per_shard": 20},
    "fine_tuning": {
        "epochs": 1, "learning_rate": 0.001, "global_batch": 4, "batch_per_device": 4, "max_length": 128,
    },
    "evaluation": {"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 1}}},
    "budgets": [6],
    "arms": {"base": {}, "random": {"seeds": [0, 1]}, "token_length": {}, "entropy": {}},
}  # fmt: skip


def conversations(count, seed):
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        things = generator.sample(THINGS, generator.randint(2, 6))
        answer = "Here is a text. " + " ".join(f"There was a {thing}." for thing in things)
        question = f"Write about a {things[0]} and number {generator.randint(0, 999_999)}."
        rows.append([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
    return rows


class Place(NamedTuple):
    """A folder with profile, pool and home, in which everything was made; put back before each test."""

    folder: Path
    profile: Path
    pool: Path

    @property
    def home(self):
        return self.folder / "home" / "small"


class OwnPlace:
    """A folder with a profile and a home of its own, which a test writes and changes as it likes."""

    def __init__(self, folder, monkeypatch, name="small"):
        self.profile, self.home = folder / f"{name}.yaml", folder / "home" / name
        monkeypatch.setenv(HOME_VARIABLE, str(folder / "home"))
        monkeypatch.setenv(PROFILE_VARIABLE, str(self.profile))

    def rows(self, capsys, sql):
        """The rows of a query in the place's warehouse."""
        return json.loads(output_of(capsys, self, "sql", sql, "--json"))


def begin_refresh(place, home):
    """Start `refresh base_model` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "selection_platform.cli.main", "--profile", str(place.profile), "refresh", "base_model"],
        env={**os.environ, HOME_VARIABLE: str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def write_pool(place, rows):
    place.pool.write_text("\n".join(json.dumps({"messages": row}) for row in rows))


def change_profile(place, **sections):
    profile = yaml.safe_load(place.profile.read_text())
    for name, values in sections.items():
        profile[name] = profile.get(name, {}) | values
    place.profile.write_text(yaml.safe_dump(profile, sort_keys=False))


def output_of(capsys, place, *arguments):
    capsys.readouterr()
    assert main(["--profile", str(place.profile), *arguments]) == 0
    return capsys.readouterr().out


def status(capsys, place):
    return json.loads(output_of(capsys, place, "status", "--json"))


def due(capsys, place):
    """Each step that is due, by assets and partition: its status and causes."""
    return {
        f"{each['asset']} {each['partition'] or ''}".rstrip(): (each["status"], each["causes"])
        for each in status(capsys, place)["due"]
    }


def materializations(place):
    """The run of each partition's newest materialisation."""
    index = place.home / "dagster" / "history" / "runs" / "index.db"
    return _materializations(place.home, size_and_time(index), size_and_time(index.with_name("index.db-wal")))


@lru_cache(maxsize=2)
def _materializations(home, *_):
    """Read again when the file of the records, or its log, has changed."""
    with open_instance(home) as instance:
        return {
            input_name(key, partition): provenance.run_id
            for key in instance.get_asset_keys()
            for partition, provenance in latest_provenance(instance, key).items()
        }


def refreshed(capsys, place, *names):
    """The partitions that a refresh really made again, by what the instance recorded."""
    before = materializations(place)
    output_of(capsys, place, "refresh", *names)
    return {name for name, run in materializations(place).items() if before.get(name) != run}


def version(place, asset, partition):
    with open_instance(place.home) as instance:
        key = next(key for key in instance.get_asset_keys() if key.to_user_string() == asset)
        return latest_provenance(instance, key)[partition].data_version


def each(asset, partitions):
    return {f"{asset} {partition}" for partition in partitions}
