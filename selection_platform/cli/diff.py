"""The command that compares two selections: their overlap, and the samples that only one of them has."""

import argparse
import math
from typing import TYPE_CHECKING, Any

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import (
    Commands,
    add_experiment,
    add_json,
    open_resources,
    print_json,
    selecting_experiment,
)
from selection_platform.cli.terminal_text import WIDTH, first_line
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from sql.queries import load_sql

if TYPE_CHECKING:
    from resources.warehouse import Warehouse

GROUPS = ("only_one", "only_other", "both", "pool")
HEADER = ["", "only A", "only B", "both", "pool"]
SOURCES = 5
"""Number of sources in the table: those that differ most from the pool. The JSON has all."""
CLUSTERS = 3
EXAMPLES = 3
LABEL = 40
SCORES = (("table", "table"), ("pool", "pool"), ("model", "model"), ("seed", "seed"), ("budget", "scores_budget"))
"""Parameters of the rank correlation, and their names in `scores_of`."""

Rows = list[dict[str, Any]]


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "diff",
        help="compare the selections and the scores of two experiments",
        epilog="Example: selection-platform diff ifd random/s0",
    )
    add_experiment(parser, "one")
    add_experiment(parser, "other", "another experiment on the same pool")
    add_json(parser)
    parser.set_defaults(command=diff)


def diff(profile: Profile, options: argparse.Namespace) -> None:
    """Print how much two selections of a pool overlap, how their scores correlate, and what only one of them has."""
    one, other = (selecting_experiment(profile, key) for key in (options.one, options.other))
    if one.pool != other.pool:
        raise PlatformError(
            f"{one.key} and {other.key} select from different pools, so they share no samples; name two on one pool"
        )
    warehouse = open_resources(profile).warehouse
    keys = {"pool": _larger_pool(one, other), "one": one.key, "other": other.key}
    facts = warehouse.query(load_sql("60_diff/overlap"), keys).row(0, named=True)
    for key, size in ((one.key, facts["one"]), (other.key, facts["other"])):
        if size == 0:
            raise PlatformError(f"{key} has not selected yet: run `selection-platform run` first")
    facts |= _rank_correlation(profile, warehouse, one, other)
    looks = _looks(warehouse, one, other)
    if options.json:
        sizes = [facts.pop("one"), facts.pop("other")]
        print_json({"experiments": [one.key, other.key], "sizes": sizes, **facts, **looks})
        return
    _print_overlap(one, other, facts)
    by_encoder = profile.k_means.vectors == "encoder"
    _print_groups(looks, one.model or "no model", by_encoder=by_encoder)
    _print_examples(looks["examples"], one, other)


def _larger_pool(one: Experiment, other: Experiment) -> str | None:
    """The pool or sub-pool of the experiment with the larger one, which contains that of the other."""
    sizes = {
        experiment: math.inf if experiment.pool_size is None else experiment.pool_size for experiment in (one, other)
    }
    return max((one, other), key=lambda experiment: sizes[experiment]).selects_from


def _rank_correlation(profile: Profile, warehouse: "Warehouse", one: Experiment, other: Experiment) -> dict[str, Any]:
    """Spearman's correlation of the two scores; None if one has no scores."""
    from assets.selections import scores_of

    sources = tuple(scores_of(each, profile.methods[each.method]) for each in (one, other))
    if None in sources:
        return {"both_scored": None, "rank_correlation": None}
    values = {
        f"{side}_{column}": (source or {})[name]
        for side, source in zip(("one", "other"), sources, strict=True)
        for column, name in SCORES
    }
    ranks = warehouse.query(load_sql("60_diff/rank_correlation"), values)
    return dict(zip(("both_scored", "rank_correlation"), ranks.row(0), strict=True))


def _looks(warehouse: "Warehouse", one: Experiment, other: Experiment) -> dict[str, Rows]:
    """Facts about the samples that only one selects. Tokens and clusters are of the model of `one`."""
    keys = {"pool": one.pool, "one": one.key, "other": other.key}
    more = {
        "groups": {"model": one.model},
        "sources": {},
        "clusters": {"model": one.model, "most": CLUSTERS},
        "examples": {"most": EXAMPLES},
    }
    return {
        name: warehouse.query(load_sql(f"60_diff/{name}"), {**keys, **values}).to_dicts()
        for name, values in more.items()
    }


def _print_overlap(one: Experiment, other: Experiment, facts: dict[str, Any]) -> None:
    share = facts["shared"] / min(facts["one"], facts["other"])
    print(f"A  {one.key} selects {facts['one']:,} samples.")
    print(f"B  {other.key} selects {facts['other']:,}.")
    print(
        f"They share {facts['shared']:,} ({share:.1%}); two random draws would share {facts['shared_by_chance']:.1f}."
    )
    if facts["rank_correlation"] is not None:
        print(
            f"Rank correlation of their scores: {facts['rank_correlation']:.3f}, over {facts['both_scored']:,} samples."
        )


def _print_groups(looks: dict[str, Rows], model: str, *, by_encoder: bool) -> None:
    """Print one table with a column per group. Sources and clusters are shares of the group."""
    groups = {row["side"]: row for row in looks["groups"]}
    sizes = {group: groups.get(group, {}).get("samples", 0) for group in GROUPS}

    def cells(label: str, name: str, form: str) -> list[str]:
        values = [groups.get(group, {}).get(name) for group in GROUPS]
        return [label, *("" if value is None else format(value, form) for value in values)]

    def shares(label: str, row: dict[str, Any]) -> list[str]:
        return [first_line(label, LABEL), *(f"{row[side] / sizes[side]:.1%}" if sizes[side] else "" for side in GROUPS)]

    table = [
        cells("samples", "samples", ",d"),
        cells("tokens of prompt, median", "prompt_tokens", ",.0f"),
        cells("tokens of last answer, median", "answer_tokens", ",.0f"),
        cells("turns, mean", "turns", ".2f"),
    ]

    def difference(row: dict[str, Any]) -> float:
        of_sides = [row[side] / sizes[side] for side in ("only_one", "only_other") if sizes[side]]
        return max((abs(share - row["pool"] / sizes["pool"]) for share in of_sides), default=0)

    telling = sorted(looks["sources"], key=difference, reverse=True)[:SOURCES]
    table += [shares(f"source {row['source']}", row) for row in looks["sources"] if row in telling]
    table += [shares(f"cluster {row['cluster']}", row) for row in looks["clusters"]]
    print()
    print_table(HEADER, table, plain=True)
    left = len(looks["sources"]) - len(telling)
    if left:
        print(f"{left:,} more source{'s' * (left != 1)} differ less from the pool")
    if looks["clusters"]:
        whose = f"Tokens are those of {model}, clusters those of the sentence encoder"
        print(f"\n{whose if by_encoder else f'Tokens and clusters are those of {model}'}. Nearest to the centre of")
    for row in looks["clusters"]:
        start = f"  cluster {row['cluster']:<3} "
        print(start + first_line(row["central_question"], WIDTH - len(start)))


def _print_examples(examples: Rows, one: Experiment, other: Experiment) -> None:
    for side, experiment in (("A", one), ("B", other)):
        of_side = [row for row in examples if row["experiment"] == experiment.key]
        if of_side:
            print(f"\nOnly {side} selects")
        for row in of_side:
            print(f"  {row['position']:,}. {row['sample_id']}")
            print(f"    user       {first_line(row['question'], WIDTH - 15)}")
            print(f"    assistant  {first_line(row['answer'], WIDTH - 15)}")
