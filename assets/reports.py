"""Reports: what the experiments say, over all partitions."""

import dagster as dg

from assets.cost_ledger import arms_of, costs_of_experiments, entries
from assets.partitions import Partitions
from assets.provenance import recorded
from resources.warehouse import Warehouse
from selection_platform.costs import Spent, arm_costs, markdown_costs
from selection_platform.leaderboard import markdown_leaderboards
from selection_platform.profile import Profile
from selection_platform.queries import load_sql


def report_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    @dg.asset(
        deps=["benchmark_result"],
        group_name="reports",
        kinds={"sql", "duckdb"},
        owners=["team:selection"],
        code_version="1",
    )
    @recorded(profile)
    def leaderboard(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """One row an arm, one column a model and pool; best and second best are marked. Table `reports.leaderboard`."""
        warehouse.replace(
            "reports.leaderboard",
            {},
            load_sql("90_reports/leaderboard"),
            {"experiments": _of_whole_pools(profile), "pools": list(profile.pools)},
        )
        tables = markdown_leaderboards(warehouse.query("FROM reports.leaderboard"))
        return dg.MaterializeResult(
            metadata={
                **{title: dg.MetadataValue.md(table) for title, table in tables.items()},
                **({"note": profile.disclaimer} if profile.disclaimer else {}),
            },
            data_version=dg.DataVersion(warehouse.content_hash("reports.leaderboard", {})),
        )

    @dg.asset(
        deps=["benchmark_result", dg.AssetDep("pool", partition_mapping=dg.AllPartitionMapping())],
        group_name="reports",
        kinds={"sql", "duckdb"},
        owners=["team:selection"],
        code_version="1",
    )
    @recorded(profile)
    def pool_size_curve(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """How a choice fares as there is more to choose from, beside random runs. Table `reports.pool_size_curve`."""
        table = "reports.pool_size_curve"
        values = {"experiments": _of_pool_size_study(profile)}
        rows = warehouse.replace(table, {}, load_sql("90_reports/pool_size_curve"), values)
        return dg.MaterializeResult(
            metadata={"dagster/table_name": table, "dagster/row_count": rows},
            data_version=dg.DataVersion(warehouse.content_hash(table, {})),
        )

    @dg.asset(
        deps=["selection", "benchmark_result"],
        group_name="reports",
        kinds={"sql", "duckdb"},
        owners=["team:selection"],
        code_version="1",
    )
    @recorded(profile)
    def cost_ledger(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """What every materialisation cost so far, and each experiment along its lineage.

        Tables `reports.cost_ledger` and `reports.experiment_costs`.
        """
        ledger = entries(context.instance)
        costs = costs_of_experiments(profile, context.instance, ledger)
        rows = [{**entry._asdict(), **entry.cost} for entry in ledger]
        warehouse.replace("reports.cost_ledger", {}, load_sql("90_reports/cost_ledger"), {"rows": rows})
        of_experiments = [{"experiment": each.experiment, "part": each.part, **each.spent._asdict()} for each in costs]
        warehouse.replace(
            "reports.experiment_costs", {}, load_sql("90_reports/experiment_costs"), {"rows": of_experiments}
        )
        totals = {name: sum(entry.cost[name] for entry in ledger) for name in Spent._fields}
        arms = arm_costs(costs, arms_of(profile.experiments))
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "reports.cost_ledger",
                "dagster/row_count": len(rows),
                **{name.replace("_", " "): total for name, total in totals.items()},
                "costs of arms": dg.MetadataValue.md(markdown_costs(arms)),
            },
            data_version=dg.DataVersion(warehouse.content_hash("reports.experiment_costs", {})),
        )

    return [leaderboard, *([pool_size_curve] if profile.sub_pools else []), cost_ledger]


def _of_whole_pools(profile: Profile) -> list[str]:
    return [key for key, experiment in profile.trained_experiments.items() if experiment.pool_size is None]


def _of_pool_size_study(profile: Profile) -> list[str]:
    study = profile.pool_size_study
    return [
        key
        for key, each in profile.trained_experiments.items()
        if each.pool in study.sizes and (each.method in study.arms or each.method == "random")
    ]
