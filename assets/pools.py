"""Pools: the unchanged rows of the source, and conversations in one normal form."""

from collections import Counter

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import POOL_CHECKS, SIZE, separation_result, separation_verifier, size_result
from assets.record.metadata import markdown_counts
from assets.record.settings_used import only, without
from resources.artifact_store import ArtifactStore
from resources.replacement import Replacement
from resources.warehouse import Warehouse
from selection_platform.configuration.checks import check_pool_size, check_sub_pool, pool_needs
from selection_platform.configuration.profile import Profile
from selection_platform.evaluation.benchmark_data import benchmark_texts, item_texts, prepare
from selection_platform.job.folder import content_hash
from selection_platform.pools.benchmark_overlap import write_overlaps
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import read_raw_pool_report, write_raw_pool
from selection_platform.pools.shards import shard_paths
from selection_platform.pools.sources import source_state
from sql.queries import load_sql

CONTENT = "pool, sample_id, source, licence, messages, turns, characters"
CONTENT_HELD_OUT = "pool, split, sample_id, source, licence, messages, turns, characters"
"""The columns that identify a pool's content. The id covers which answers are trained on."""


def pool_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage, in the data's order."""

    @platform_asset(
        group="pools",
        kinds={"python", "parquet"},
        settings={},
        by=["benchmark_data"],
    )
    def benchmark_data(context: dg.AssetExecutionContext, artifacts: ArtifactStore) -> dg.MaterializeResult:
        """The benchmarks' items, from installed packages, so that evaluation needs no network."""
        report = prepare(artifacts.benchmark_data())
        return dg.MaterializeResult(
            metadata={
                "items": dg.JsonMetadataValue(report),
                "folder": dg.MetadataValue.path(artifacts.benchmark_data()),
            },
            data_version=dg.DataVersion(content_hash(report)),
        )

    @platform_asset(
        partitions=partitions.pools,
        group="pools",
        kinds={"python", "parquet"},
        settings=lambda pool: {
            f"pools.{pool}": only(profile.pools[pool], "source", "on_bad_row"),
            "source": source_state(profile.pools[pool].source),
        },
        by=["raw_pool"],
        folder=ArtifactStore.raw_pool,
        # `status` does not ask the hub for its commit.
        changes_unseen=lambda pool: profile.pools[pool].source.hub is not None,
    )
    def raw_pool(context: dg.AssetExecutionContext, artifacts: ArtifactStore) -> dg.MaterializeResult:
        """The unchanged rows of a pool's source, as a local copy."""
        folder = artifacts.raw_pool(context.partition_key)
        report = write_raw_pool(profile.pools[context.partition_key], folder)
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": report.rows,
                "bad rows": markdown_counts(report.bad_rows),
                "folder": dg.MetadataValue.path(folder),
                "seconds": report.seconds,
            },
            data_version=dg.DataVersion(report.content_hash),
        )

    @platform_asset(
        partitions=partitions.pools,
        deps=["raw_pool", "benchmark_data"],
        checks=POOL_CHECKS,
        group="pools",
        kinds={"python", "duckdb"},
        settings=lambda pool: {f"pools.{pool}": without(profile.pools[pool], "source")},
        sql=["10_pools/pool_samples", "10_pools/held_out_samples", "10_pools/dropped", "10_pools/trimmed"],
        by=["pool"],
        folder=ArtifactStore.pool,
    )
    def pool(context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse) -> dg.MaterializeResult:
        """Conversations in one normal form, filtered and without duplicates.

        With the pool's setting for it, rows that share 13 consecutive words with a benchmark item are dropped. Tables
        `pools.samples` (conversations to select from), `pools.held_out` (conversations that are never selected),
        `pools.dropped` (why rows are in neither) and `pools.trimmed` (what rows lost).
        """
        name = context.partition_key
        folder = artifacts.pool(name)
        texts = benchmark_texts(artifacts.benchmark_data())
        scores = {arm.column for arm in profile.arms.values() if arm.column is not None}
        report = write_pool(profile.pools[name], artifacts.raw_pool(name), texts, folder, also_read=scores)
        check_pool_size(profile, name, report.kept["pool"])
        shards = shard_paths(folder)
        for table, query in (("pools.samples", "pool_samples"), ("pools.held_out", "held_out_samples")):
            verify = separation_verifier(name, shards)
            warehouse.replace(table, {"pool": name}, load_sql(f"10_pools/{query}"), {"files": shards}, verify)
        unreadable = read_raw_pool_report(artifacts.raw_pool(name)).bad_rows
        counts = Counter(report.dropped) + Counter(unreadable)
        dropped = [{"reason": reason, "samples": samples} for reason, samples in counts.items()]
        warehouse.replace("pools.dropped", {"pool": name}, load_sql("10_pools/dropped"), {"dropped": dropped})
        trimmed = [{"part": part, "samples": samples} for part, samples in report.trimmed.items()]
        warehouse.replace("pools.trimmed", {"pool": name}, load_sql("10_pools/trimmed"), {"trimmed": trimmed})
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "pools.samples",
                "dagster/partition_row_count": report.kept["pool"],
                "rows of the source": report.rows + sum(unreadable.values()),
                "kept": markdown_counts(report.kept),
                "dropped": markdown_counts(counts),
                "trimmed": markdown_counts(report.trimmed),
                "form": report.form,
                "fields not read": ", ".join(report.ignored) or "none",
                "benchmark texts compared with": report.benchmark_texts,
                "benchmark texts too short to compare (under 13 words)": report.short_benchmark_texts,
                "seconds": report.seconds,
            },
            check_results=[separation_result(), size_result(report.kept["pool"], pool_needs(profile, profile.arms))],
            data_version=dg.DataVersion(
                warehouse.content_hash("pools.samples", {"pool": name}, CONTENT)
                + "-"
                + warehouse.content_hash("pools.held_out", {"pool": name}, CONTENT_HELD_OUT)
            ),
        )

    @platform_asset(
        partitions=partitions.sub_pools,
        deps=[dg.AssetDep("pool", partition_mapping=partitions.pools_to_sub_pools())],
        checks=[SIZE],
        group="pools",
        kinds={"sql", "duckdb"},
        settings={},
        sql=["10_pools/sub_pool_samples"],
    )
    def sub_pool(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """A random part of a pool to select from, nested in the larger parts. Table `pools.samples`."""
        part = profile.sub_pools[context.partition_key]
        partition = {"pool": part.name}
        values = {"whole_pool": part.pool, "size": part.size}
        rows = warehouse.replace("pools.samples", partition, load_sql("10_pools/sub_pool_samples"), values)
        check_sub_pool(part, rows)
        return dg.MaterializeResult(
            metadata={"dagster/table_name": "pools.samples", "dagster/partition_row_count": rows},
            check_results=[size_result(rows, pool_needs(profile, profile.pool_size_study.arms))],
            data_version=dg.DataVersion(warehouse.content_hash("pools.samples", partition, CONTENT)),
        )

    @platform_asset(
        partitions=partitions.pools,
        deps=["pool", "benchmark_data"],
        group="pools",
        kinds={"python", "duckdb"},
        settings={},
        sql=["10_pools/compared_items"],
        by=["contamination"],
    )
    def contamination(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """The samples that hold a benchmark's item: 13 words of it, or a text that is nearly the same.

        Tables `pools.contamination`, and `pools.compared_items`: how many items there are. Where the pool is
        decontaminated, no sample shares 13 words with one.
        """
        partition = {"pool": context.partition_key}
        texts = list(item_texts(artifacts.benchmark_data()))
        files = write_overlaps(
            artifacts.pool(context.partition_key), texts, artifacts.contamination(context.partition_key)
        )
        of_benchmarks = Counter(benchmark for benchmark, _ in {(text.benchmark, text.item_id) for text in texts})
        compared = [{"benchmark": name, "items": items} for name, items in sorted(of_benchmarks.items())]
        rows, _ = warehouse.replace_together(
            Replacement.of_parquet("pools.contamination", partition, files),
            Replacement("pools.compared_items", partition, load_sql("10_pools/compared_items"), {"compared": compared}),
        )
        counts = warehouse.query(load_sql("10_pools/contaminated"), partition)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "pools.contamination",
                "dagster/partition_row_count": rows,
                "samples by benchmark": markdown_counts(dict(counts.iter_rows())),
                "compared with items": markdown_counts(of_benchmarks),
            },
            data_version=dg.DataVersion(warehouse.content_hash("pools.contamination", partition)),
        )

    assets = [benchmark_data, raw_pool, pool, *([sub_pool] if profile.sub_pools else [])]
    return [*assets, contamination] if profile.compares_with_items else assets
