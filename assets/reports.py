"""Reports: what the experiments say, over all partitions."""

import dagster as dg

from assets.partitions import Partitions
from assets.provenance import recorded
from resources.warehouse import Warehouse
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
            {"experiments": list(profile.trained_experiments), "pools": list(profile.pools)},
        )
        tables = markdown_leaderboards(warehouse.query("FROM reports.leaderboard"))
        return dg.MaterializeResult(
            metadata={
                **{title: dg.MetadataValue.md(table) for title, table in tables.items()},
                **({"note": profile.disclaimer} if profile.disclaimer else {}),
            },
            data_version=dg.DataVersion(warehouse.content_hash("reports.leaderboard", {})),
        )

    return [leaderboard]
