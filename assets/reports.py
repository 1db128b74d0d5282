"""Reports over all experiments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.caveat import caveat
from assets.record.cost_ledger import costs_of_experiments, entries, spent_by_partition
from assets.record.metadata import REPORT_PAGE, markdown_picture, report_links
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.features.rescored import is_rescored
from selection_platform.report.agreement import GOOD_ENOUGH
from selection_platform.report.costs import Spent, arm_costs, arms_of, markdown_costs
from selection_platform.report.leaderboard import markdown_leaderboards
from selection_platform.report.proxies import has_cheaper_scorers
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.report.answer import Answer
    from selection_platform.report.parts import Section

MOST_PICTURES = 4
"""Most pictures in the metadata of one materialisation."""


def report_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage: the tables, and the page with them."""
    tables = [
        _leaderboard(profile),
        _verdict(profile),
        *([_pool_size_curve(profile)] if profile.sub_pools else []),
        *([_diversity_ablation(profile)] if profile.cluster_pairs else []),
        *([_selection_overlap(profile), _selection_profile(profile)] if profile.first_selections else []),
        _cost_ledger(profile),
        *([_proxy_card(profile)] if has_cheaper_scorers(profile) else []),
    ]
    return [*tables, _report(profile, [key for table in tables for key in table.keys])]


def _leaderboard(profile: Profile) -> dg.AssetsDefinition:
    @platform_asset(
        deps=["benchmark_result"],
        group="reports",
        kinds={"sql", "duckdb"},
        settings={"disclaimer": profile.disclaimer},
        sql=["90_reports/leaderboard"],
    )
    def leaderboard(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """One row per arm, one column per model and pool, with marks. Table `reports.leaderboard`."""
        warehouse.replace(
            "reports.leaderboard",
            {},
            load_sql("90_reports/leaderboard"),
            {"experiments": _of_whole_pools(profile), "pools": list(profile.pools)},
        )
        tables = markdown_leaderboards(warehouse.query("FROM reports.leaderboard"))
        return dg.MaterializeResult(
            metadata={
                "see": report_links("answer", "report"),
                **{title: dg.MetadataValue.md(table) for title, table in tables.items()},
                **_note(profile, artifacts),
            },
            data_version=dg.DataVersion(warehouse.content_hash("reports.leaderboard", {})),
        )

    return leaderboard


def _verdict(profile: Profile) -> dg.AssetsDefinition:
    @platform_asset(
        deps=["leaderboard", "benchmark_result"],
        group="reports",
        kinds={"python", "duckdb"},
        settings={"verdict": profile.verdict, **_rule_of_looks(profile), **_seeds_of_looks(profile)},
        sql=["90_reports/runs", "90_reports/item_differences"],
        by=["verdict"],
    )
    def verdict(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """Whether each arm differs from random runs more than these differ. Table `reports.verdict`."""
        from selection_platform.report.verdict_sections import intervals, verdict_numbers
        from selection_platform.verdict.looks import schedule
        from selection_platform.verdict.tables import over_items, runs_of, verdict_rows
        from selection_platform.verdict.verdicts import LOSS, verdicts, with_random
        from selection_platform.verdict.words import measure_table, measure_title, shown_measures

        with warehouse.queries(warehouse.snapshot()) as query:
            runs = with_random(runs_of(query(load_sql("90_reports/runs"), {})))
            intervals_over_items = over_items(query(load_sql("90_reports/item_differences"), {}))
        rules = profile.verdict
        by_looks = schedule(profile.arms)
        comparisons = verdicts(runs, {LOSS: rules.loss_margin}, rules.margin, rules.primary, by_looks)
        rows = verdict_rows(comparisons, intervals_over_items)
        count = warehouse.replace_from_frame("reports.verdict", {}, rows)
        shown = shown_measures(comparisons)
        of_measures = [[verdict for verdict in comparisons if verdict.measure == measure] for measure in shown]
        tables = {
            measure_title(of_measure[0].measure, of_measure[0].role): dg.MetadataValue.md(measure_table(of_measure))
            for of_measure in of_measures
        }
        numbers = {
            "answer": _answer(profile, warehouse),
            "see": report_links("leaderboard", "report"),
            **verdict_numbers(comparisons),
            **tables,
            **_pictures(intervals(runs, comparisons)),
            **_note(profile, artifacts),
        }
        return _table_result(warehouse, "reports.verdict", count, numbers)

    return verdict


def _answer(profile: Profile, warehouse: Warehouse) -> dg.MarkdownMetadataValue:
    """The report's first sentences, from the verdicts in the warehouse."""
    from selection_platform.report.answer import answer
    from selection_platform.report.data import Margins, ReportData

    data = ReportData(
        title=profile.name,
        description=profile.description,
        margins=Margins(profile.verdict.margin, profile.verdict.loss_margin),
        runs=warehouse.query(load_sql("90_reports/runs")),
        verdict=warehouse.query("FROM reports.verdict"),
        fine_tuning=profile.fine_tuning,
    )
    return _markdown_answer(answer(data))


def _markdown_answer(answer: "Answer") -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("\n\n".join([f"**{answer.headline}**", *answer.sentences]))


def _pool_size_curve(profile: Profile) -> dg.AssetsDefinition:
    @platform_asset(
        deps=["benchmark_result", dg.AssetDep("pool", partition_mapping=dg.AllPartitionMapping())],
        group="reports",
        kinds={"sql", "duckdb"},
        settings={},
        sql=["90_reports/pool_size_curve"],
    )
    def pool_size_curve(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """How methods and random runs do as the pool grows. Table `reports.pool_size_curve`."""
        from selection_platform.report.study_sections import pool_size

        table = "reports.pool_size_curve"
        values = {"experiments": _of_pool_size_study(profile)}
        count = warehouse.replace(table, {}, load_sql("90_reports/pool_size_curve"), values)
        section = pool_size(warehouse.query(f"FROM {table}"))
        return _table_result(warehouse, table, count, {**_tables(section), **_pictures(section)})

    return pool_size_curve


def _diversity_ablation(profile: Profile) -> dg.AssetsDefinition:
    @platform_asset(
        deps=["leaderboard", "verdict"],
        group="reports",
        kinds={"sql", "duckdb"},
        settings={},
        sql=["90_reports/diversity_ablation"],
    )
    def diversity_ablation(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The effect of picking the best of each k-means cluster. Table `reports.diversity_ablation`."""
        from selection_platform.report.study_sections import ablation_numbers, clusters
        from selection_platform.verdict.tables import verdicts_of

        pairs = {"methods": list(profile.cluster_pairs), "wrappers": list(profile.cluster_pairs.values())}
        count = warehouse.replace("reports.diversity_ablation", {}, load_sql("90_reports/diversity_ablation"), pairs)
        rows = warehouse.query("FROM reports.diversity_ablation")
        section = clusters(rows, verdicts_of(warehouse.query("FROM reports.verdict")))
        numbers = {**ablation_numbers(rows), **_tables(section), **_pictures(section)}
        return _table_result(warehouse, "reports.diversity_ablation", count, numbers)

    return diversity_ablation


def _selection_overlap(profile: Profile) -> dg.AssetsDefinition:
    @platform_asset(
        deps=["selection", "pool"],
        group="reports",
        kinds={"sql", "duckdb"},
        settings={},
        sql=["90_reports/selection_overlap"],
    )
    def selection_overlap(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """How many samples each pair of methods shares. Table `reports.selection_overlap`."""
        from selection_platform.report.selection_sections import overlap, overlap_numbers

        values = {"experiments": list(profile.first_selections)}
        count = warehouse.replace("reports.selection_overlap", {}, load_sql("90_reports/selection_overlap"), values)
        rows = warehouse.query("FROM reports.selection_overlap")
        numbers = {**overlap_numbers(rows), **_pictures(overlap(rows))}
        return _table_result(warehouse, "reports.selection_overlap", count, numbers)

    return selection_overlap


def _selection_profile(profile: Profile) -> dg.AssetsDefinition:
    clustered = profile.has_clusters

    @platform_asset(
        deps=["selection", "pool", *(["sample_cluster"] if clustered else [])],
        group="reports",
        kinds={"sql", "duckdb"},
        settings={},
        sql=["90_reports/selection_profile"],
    )
    def selection_profile(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The samples that each method selects, compared with the pool. Table `reports.selection_profile`."""
        from selection_platform.report.selection_sections import looks

        values = {"experiments": list(profile.first_selections), "clustered": clustered}
        count = warehouse.replace("reports.selection_profile", {}, load_sql("90_reports/selection_profile"), values)
        section = looks(warehouse.query("FROM reports.selection_profile"))
        numbers = {**_tables(section), **_pictures(section)}
        return _table_result(warehouse, "reports.selection_profile", count, numbers)

    return selection_profile


def _cost_ledger(profile: Profile) -> dg.AssetsDefinition:
    @platform_asset(
        deps=["selection", "benchmark_result"],
        group="reports",
        kinds={"sql", "duckdb"},
        settings={f"arms.{name}.cost": arm.cost for name, arm in profile.arms.items() if arm.cost is not None},
        sql=["90_reports/cost_ledger", "90_reports/experiment_costs"],
        by=["experiment_costs"],
        # Work with an unchanged result costs time but changes no input.
        changes_unseen=lambda _: True,
    )
    def cost_ledger(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The cost of every materialisation so far, and of each experiment along its lineage.

        Tables `reports.cost_ledger` and `reports.experiment_costs`.
        """
        ledger = entries(context.instance)
        costs = costs_of_experiments(profile, context.instance, ledger)
        rows = [{**entry._asdict(), **entry.cost} for entry in ledger]
        warehouse.replace("reports.cost_ledger", {}, load_sql("90_reports/cost_ledger"), {"rows": rows})
        of_experiments = [{"experiment": cost.experiment, "part": cost.part, **cost.spent._asdict()} for cost in costs]
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

    return cost_ledger


def _proxy_card(profile: Profile) -> dg.AssetsDefinition:
    @platform_asset(
        deps=["selection", "cost_ledger"],
        group="reports",
        kinds={"python", "duckdb"},
        settings={"selectit": profile.selectit, "good enough": GOOD_ENOUGH},
        sql=["90_reports/scores_of", "90_reports/warmup_epochs", "40_scores/less", "40_scores/selectit"],
    )
    def proxy_card(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """Whether a cheaper scorer picks the same, and what it saves. Table `reports.proxy_card`."""
        from selection_platform.report.proxies import proxy_rows
        from selection_platform.report.proxy_section import proxies

        with warehouse.queries(warehouse.snapshot()) as query:
            rows = proxy_rows(profile, query, spent_by_partition(entries(context.instance)))
        count = warehouse.replace_from_frame("reports.proxy_card", {}, rows)
        return _table_result(warehouse, "reports.proxy_card", count, _tables(proxies(rows)))

    return proxy_card


def _report(profile: Profile, tables: list[dg.AssetKey]) -> dg.AssetsDefinition:
    rescored = ["rescored_likelihood"] if is_rescored(profile) else []

    @platform_asset(
        # Picks and items are read as they are. What makes others of them costs time, and so changes the cost ledger.
        # But licence, source and text of a pick are its pool's, and may change where the same ids are selected.
        deps=[*tables, "pool", *(["contamination"] if profile.compares_with_items else []), *rescored],
        group="reports",
        kinds={"python", "html"},
        settings={
            "description": profile.description,
            "disclaimer": profile.disclaimer,
            "verdict": profile.verdict,
            **_rule_of_looks(profile),
        },
        sql=[
            "90_reports/runs",
            "90_reports/item_differences",
            "90_reports/answer_card",
            "90_reports/picks",
            "90_reports/contamination",
            *(["90_reports/ifd_twice"] if rescored else []),
        ],
        by=["report"],
        folder=lambda artifacts, _: artifacts.report(),
    )
    def report(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """One page that says whether any method beats random selection, with figures as PNG and tables as CSV."""
        from selection_platform.report.data import own_data
        from selection_platform.report.page import Report, write_home_report

        snapshot = warehouse.snapshot()
        with warehouse.queries(snapshot) as query:
            data = own_data(profile, query, snapshot)
        content = Report(replace(data, disclaimer=caveat(profile, artifacts)))
        written = write_home_report(content, artifacts.report())
        leaderboard = next((section for section in content.sections if section.name == "leaderboard"), None)
        return dg.MaterializeResult(
            metadata={
                "answer": _markdown_answer(content.answer),
                "open": dg.MetadataValue.md(f"[The report]({REPORT_PAGE}), from `selection-platform ui`"),
                "see": report_links("answer", "leaderboard"),
                "page": dg.MetadataValue.path(written[0]),
                "bytes": written[0].stat().st_size,
                "figures": len(content.pictures),
                **_tables(leaderboard),
                **_note(profile, artifacts),
            },
            data_version=dg.DataVersion(content.identity),
        )

    return report


def _note(profile: Profile, artifacts: ArtifactStore) -> dict[str, str]:
    """What is said beside the results, as metadata."""
    told = caveat(profile, artifacts)
    return {"note": told} if told else {}


def _rule_of_looks(profile: Profile) -> dict[str, str]:
    """Raise it when the verdicts by looks, or what the report says of them, change: other profiles stay fresh."""
    return {"rule of looks": "2"} if _seeds_of_looks(profile) else {}


def _seeds_of_looks(profile: Profile) -> dict[str, str]:
    """How many seeds each arm has at first and at most, where seeds are added: they say when one looks."""
    if all(arm.all_seeds == arm.first_seeds for arm in profile.arms.values()):
        return {}
    return {
        f"arms.{name}.seeds": f"{len(arm.first_seeds)} of {len(arm.all_seeds)}" for name, arm in profile.arms.items()
    }


def _of_whole_pools(profile: Profile) -> list[str]:
    return [key for key, experiment in profile.trained_experiments.items() if experiment.pool_size is None]


def _of_pool_size_study(profile: Profile) -> list[str]:
    study = profile.pool_size_study
    return [
        key
        for key, experiment in profile.trained_experiments.items()
        if experiment.pool in study.sizes and (experiment.method in study.arms or experiment.method == "random")
    ]


def _table_result(warehouse: Warehouse, table: str, count: int, metadata: Mapping[str, Any]) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata={**metadata, "dagster/table_name": table, "dagster/row_count": count},
        data_version=dg.DataVersion(warehouse.content_hash(table, {})),
    )


def _tables(section: "Section | None") -> dict[str, dg.MetadataValue]:
    return {} if section is None else {table.caption: dg.MetadataValue.md(table.markdown()) for table in section.tables}


def _pictures(section: "Section | None") -> dict[str, dg.MetadataValue]:
    """The section's first figures, without those that are too large for the event log."""
    from selection_platform.report.style import small_png

    pictures = [] if section is None else section.pictures[:MOST_PICTURES]
    small = {picture: small_png(picture.figure) for picture in pictures}
    return {
        picture.name: markdown_picture(png, picture.alternative) for picture, png in small.items() if png is not None
    }
