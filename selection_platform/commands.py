"""What each command of the command line does, with the profile and the options that `cli` read."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from selection_platform.cookbook import questions
from selection_platform.disk_usage import in_words
from selection_platform.evaluation.sandbox import SandboxUnavailable, check_sandbox
from selection_platform.experiments import Experiment
from selection_platform.methods import METHODS
from selection_platform.profile import Profile, home
from selection_platform.run_lock import only_run, only_ui


class UserError(Exception):
    """What the user asked for cannot be done; the message says why and what to do."""


# What the library raises for what a user can mend; all else is a fault of ours and keeps its traceback.
MENDABLE = (UserError, SandboxUnavailable, ValueError, OSError, ModuleNotFoundError, FloatingPointError)


def run(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise every partition that is missing or stale, upstream first, and print the leaderboard."""
    _bring_up_to_date(profile, ())
    _print_leaderboard(profile)
    print(f"The report: {open_artifacts(profile).report() / 'index.html'}")


def refresh(profile: Profile, options: argparse.Namespace) -> None:
    """Materialise what is missing or stale of some assets or partitions and of what they are made from."""
    if options.rebuild and not options.of:
        raise UserError("--rebuild: name the experiments whose weights are wanted")
    _bring_up_to_date(profile, options.of, rebuild=options.rebuild)


def _bring_up_to_date(profile: Profile, of: Sequence[str], *, rebuild: bool = False) -> None:
    """Materialise what is due, upstream first, as far as content changes: of some assets or partitions, or of all.

    Args:
        profile: what to run.
        of: names of assets or partitions; all where there are none.
        rebuild: also train those checkpoints among them again whose weights were dropped.
    """
    from assets.materialize import end_killed_runs, materialize_step
    from assets.retention import Retention, by_experiment

    if profile.evaluation.run_generated_code == "sandboxed":
        # Better now than after an hour of training.
        check_sandbox()
    started = time.monotonic()
    seconds: dict[str, float] = {}
    with only_run(home(profile)), open_staleness(profile) as (staleness, assets, resources, instance):

        def make(step: Any) -> dict[str, object]:
            try:
                metadata = materialize_step(step, assets, resources, instance)
            except MENDABLE as error:
                raise UserError(f"{step}: {error}") from error
            staleness.look_again(step)
            return metadata

        end_killed_runs(instance, of_scripts=True)
        retention = Retention(profile, staleness, resources)
        if rebuild:
            retention.want(_named(staleness, of))
        steps = by_experiment(_steps(staleness, of))
        for index, step in enumerate(steps, start=1):
            print(f"[{index}/{len(steps)}] {step}", flush=True)
            if _is_due(staleness, step):
                seconds[step.name] = seconds.get(step.name, 0) + _make_due(step, make, retention)
        if not of:
            _drop_weights(retention)
    _print_seconds(seconds, time.monotonic() - started)


def _is_due(staleness: Any, step: Any) -> bool:
    """Whether a step is still due when its turn comes; prints why, or why not."""
    due = staleness.cause(step)
    if due is None:
        print("    what it is made from came out the same", flush=True)
    elif due.status == "stale":
        print("".join(f"    {cause}\n" for cause in due.causes), end="", flush=True)
    return due is not None


def _make_due(step: Any, make: Callable[[Any], dict[str, object]], retention: Any) -> float:
    """Make a step, and before it the weights that it needs and that were dropped; gives the seconds that it took."""
    started = time.monotonic()
    checkpoint = retention.rebuilt_for(step)
    if checkpoint is not None:
        print("    the checkpoint's weights were dropped, so it is trained again first", flush=True)
        retention.forget([checkpoint])
        make(checkpoint)
    rows = make(step).get("dagster/partition_row_count")
    if retention.is_evaluation(step):
        # At once, so that the disk never has to hold the weights of all experiments.
        _drop_weights(retention)
    spent = time.monotonic() - started
    print(f"    {spent:.1f} s" + (f", {rows:,} rows" if isinstance(rows, int) else ""), flush=True)
    return spent


def _drop_weights(retention: Any) -> None:
    for experiment, freed in retention.drop().items():
        print(f"    dropped the weights of {experiment}, {in_words(freed)}", flush=True)


def _print_seconds(seconds: Mapping[str, float], in_all: float) -> None:
    for name, spent in seconds.items():
        print(f"{spent:8.1f} s  {name}")
    print(f"{in_all:8.1f} s  in all\n")


@contextmanager
def open_staleness(profile: Profile) -> Iterator[tuple[Any, list[Any], dict[str, Any], Any]]:
    """What compares the profile with what was made, its assets, their resources, and the Dagster instance.

    Raises:
        ValueError: the warehouse's catalog is older than what was made.
    """
    from assets import build_assets
    from assets.catalog_age import check_catalog
    from assets.materialize import open_instance
    from assets.staleness import Staleness
    from resources import build_resources

    assets = build_assets(profile)
    with open_instance(home(profile)) as instance:
        resources = build_resources(home(profile), profile.jobs)
        check_catalog(instance, resources)
        yield Staleness(profile, assets, instance, resources), assets, resources, instance


def _steps(staleness: Any, of: Sequence[str]) -> list[Any]:
    """The steps that are due, and those that may become so by what they change."""
    steps = staleness.graph.downstream(due.step for due in staleness.due())
    if not of:
        return steps
    wanted = set(staleness.graph.upstream(_named(staleness, of)))
    return [step for step in steps if step in wanted]


def _named(staleness: Any, of: Sequence[str]) -> list[Any]:
    """The steps of some assets or partitions."""
    chosen = []
    for name in of:
        named = [step for step in staleness.graph.steps if name in step.names]
        if not named:
            raise UserError(f"no asset and no partition {name!r}; `selection-platform status` lists those that are due")
        chosen += named
    return chosen


def _print_leaderboard(profile: Profile) -> None:
    from selection_platform.leaderboard import markdown_leaderboards

    tables = markdown_leaderboards(open_warehouse(profile).query("FROM reports.leaderboard"))
    for title, table in tables.items():
        print(f"{title}\n\n{table}\n")
    print("**best** and _second best_ of each column.")
    if profile.disclaimer:
        print(profile.disclaimer)


def status(profile: Profile, options: argparse.Namespace) -> None:
    """List every partition that is missing or stale, with the cause."""
    with open_staleness(profile) as (staleness, *_):
        due = staleness.due()
        removed = staleness.removed()
        downstream = len(staleness.graph.downstream(each.step for each in due)) - len(due)
        total = len(staleness.graph.steps)
    if options.json:
        print_json(
            {
                "profile": profile.name,
                "partitions": total,
                "due": [
                    {
                        "asset": each.step.name,
                        "partition": each.step.partition_key,
                        "status": each.status,
                        "causes": each.causes,
                    }
                    for each in due
                ],
                "downstream": downstream,
                "removed": [{"asset": key.to_user_string(), "partition": partition} for key, partition in removed],
            }
        )
        return
    for each in due:
        print(f"{each.status:<7}  {each.step}: {'; '.join(each.causes)}")
    print(f"{len(due)} of {total} partitions of profile {profile.name} are due")
    if downstream:
        print(f"{downstream} more are made from these, and are due where these come out otherwise than before")
    if removed:
        print(f"{len(removed)} were made for what is in the profile no more")


def methods(profile: Profile, options: argparse.Namespace) -> None:
    """List the arms, and which of them the profile runs."""
    for method in METHODS.values():
        seeds = len(profile.arms[method.name].seeds) if method.name in profile.arms else 0
        in_profile = f"{seeds} seed{'s' if seeds > 1 else ''}" if seeds else "-"
        print(f"{method.name:<23} {in_profile:<8} {method.summary}")


def sql(profile: Profile, options: argparse.Namespace) -> None:
    """Print the result of one statement. Nothing can be changed, in the warehouse or outside it."""
    import duckdb
    import polars as pl

    if options.statement == "@":
        result = pl.DataFrame([(f"@{each.name}", each.question) for each in questions().values()], orient="row")
        result.columns = ["name", "question"]
    else:
        statement, values = _statement(options.statement), dict(options.set)
        try:
            _check_values(statement, values)
            result = open_warehouse(profile, of_any_age=True).query(statement, values)
        except duckdb.Error as error:
            raise UserError(str(error)) from error
    if options.json:
        print_json(result.to_dicts())
        return
    with pl.Config(
        tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=60, tbl_width_chars=160, tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
    ):  # fmt: skip
        print(result)
    print(f"{result.height:,} rows")


def _statement(text: str) -> str:
    """What `sql` is to run: the text, standard input's, or that of a question of the cookbook."""
    if not text.startswith("@"):
        return sys.stdin.read() if text == "-" else text
    known = questions()
    if text[1:] not in known:
        listed = "".join(f"\n  @{each.name:<20} {each.question}" for each in known.values())
        raise UserError(f"no question {text!r} in the cookbook; there are{listed}")
    return known[text[1:]].statement


def _check_values(statement: str, values: Mapping[str, str]) -> None:
    """Raise unless a statement's parameters are those that have a value."""
    import duckdb

    wanted = {name for each in duckdb.extract_statements(statement) for name in each.named_parameters}
    missing, unknown = sorted(wanted - values.keys()), sorted(values.keys() - wanted)
    if missing:
        needed = " ".join(f"--set {name}=VALUE" for name in missing)
        raise UserError(f"the statement has parameters without a value; add {needed}")
    if unknown:
        named = ", ".join(f"${name}" for name in sorted(wanted)) or "none"
        raise UserError(f"--set {unknown[0]}: the statement has no such parameter; it has {named}")


def selecting_experiment(profile: Profile, key: str) -> Experiment:
    """The experiment of a key, which must select samples."""
    experiment = profile.experiments.get(key)
    if experiment is None or experiment.pool is None:
        known = "\n  ".join(key for key, known in profile.experiments.items() if known.pool)
        raise UserError(f"no experiment {key!r} that selects samples; there are\n  {known}")
    return experiment


def export(profile: Profile, options: argparse.Namespace) -> None:
    """Write the selected conversations and a data card."""
    from selection_platform.export import export_selection
    from selection_platform.queries import load_sql

    experiment = selecting_experiment(profile, options.experiment)
    if options.to.exists() and not options.to.is_dir():
        raise UserError(f"--to: {options.to} is a file; name a folder")
    warehouse = open_warehouse(profile)
    values = {"experiment": experiment.key, "pool": experiment.pool}
    rows = warehouse.query(load_sql("50_selections/training_samples"), values)
    if rows.is_empty():
        raise UserError(f"{experiment.key} has not selected yet: run `selection-platform run` first")
    facts = {
        "experiment": experiment.key,
        "method": f"{experiment.method}: {METHODS[experiment.method].summary}",
        "pool": experiment.pool,
        "base model": experiment.model,
        "seed": experiment.seed,
        "warehouse snapshot": warehouse.snapshot(),
        "profile": profile.name,
    }
    for path in export_selection(rows, facts, options.to, options.format or ("jsonl", "parquet", "dataset")):
        print(path)


def ui(profile: Profile, options: argparse.Namespace) -> None:
    """Open Dagster's web page, with its daemon, on this machine alone."""
    from assets.materialize import dagster_home, end_killed_runs, open_instance

    environment = {**os.environ, "DAGSTER_HOME": str(dagster_home(home(profile)))}
    command = ["dagster", "dev", "-m", "selection_platform.definitions", "-h", "127.0.0.1", "-p", str(options.port)]
    with only_ui(home(profile)):
        with open_instance(home(profile)) as instance:
            end_killed_runs(instance, of_scripts=False)
        print(f"http://127.0.0.1:{options.port}", flush=True)
        status = subprocess.run([sys.executable, "-m", *command], env=environment, check=False).returncode
    if status:
        raise UserError(f"Dagster ended with exit status {status}; what it printed above says why")


def open_warehouse(profile: Profile, *, of_any_age: bool = False) -> Any:
    """The warehouse in a profile's home folder.

    Args:
        profile: what is run in the home folder.
        of_any_age: do not ask whether it has all that was made.

    Raises:
        ValueError: its catalog is older than what was made.
    """
    from assets.catalog_age import check_home
    from resources import build_resources

    resources = build_resources(home(profile))
    if not of_any_age:
        check_home(home(profile), resources)
    return resources["warehouse"]


def open_artifacts(profile: Profile) -> Any:
    """The files beside the warehouse in a profile's home folder."""
    from resources import build_resources

    return build_resources(home(profile))["artifacts"]


def print_json(value: Any) -> None:
    """One JSON document, and nothing else."""
    print(json.dumps(value, ensure_ascii=False, default=str))
