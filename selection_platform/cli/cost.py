"""The command that prints what each arm cost, and how much random data the same cost would train."""

import argparse

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, print_json
from selection_platform.cli.terminal_text import wrapped
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError
from selection_platform.report.costs import UNITS, ArmCost, Spent, arm_costs, arms_of, break_even, cost_tables


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "cost",
        help="list what each arm cost, and how much random data that would train",
        epilog="Example: selection-platform cost --json",
    )
    add_json(parser)
    parser.set_defaults(command=cost)


def cost(profile: Profile, options: argparse.Namespace) -> None:
    """Print the cost of each arm, how much random data it would train, and the cost of each asset so far."""
    from assets.record.cost_ledger import costs_of_experiments, entries
    from orchestration.materialize import open_instance

    with open_instance(home(profile)) as instance:
        ledger = entries(instance)
        costs = costs_of_experiments(profile, instance, ledger)
    if not ledger:
        raise PlatformError("no cost is recorded yet: run `selection-platform run` first")
    arms = arm_costs(costs, arms_of(profile.experiments))
    by_asset: dict[str, Spent] = {}
    for entry in ledger:
        by_asset[entry.asset] = by_asset.get(entry.asset, Spent()).plus(entry.spent)
    if options.json:
        print_json(
            {
                "arms": [_json(arm_cost) for arm_cost in arms],
                "assets": {name: spent._asdict() for name, spent in by_asset.items()},
            }
        )
        return
    print(
        wrapped(
            "What each arm cost, as a mean over its seeds, in seconds of all CPU cores and of steps that held a GPU"
        )
    )
    for table in cost_tables(arms):
        print()
        print_table(*table)
    print()
    for arm_cost in arms:
        sentence = break_even(arm_cost)
        if sentence:
            print(wrapped(f"{arm_cost.name}: {sentence}."))
    print("\nAll materialisations so far\n")
    rows = [
        [name, f"{spent.cpu_seconds:,.1f}", f"{spent.gpu_seconds:,.1f}", f"{spent.flops / 1e12:,.2f}"]
        for name, spent in sorted(by_asset.items(), key=lambda item: -item[1].cpu_seconds)
    ]
    print_table(["asset", "CPU s", "GPU s", "TFLOP"], rows)


def _json(arm_cost: ArmCost) -> dict[str, object]:
    return {
        **arm_cost.arm._asdict(),
        **{part.replace(" ", "_"): spent._asdict() for part, spent in arm_cost.parts.items()},
        **{f"times_by_{unit}": arm_cost.times.get(unit) for unit in UNITS},
    }
