"""Targets: what targeted methods select for."""

from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.settings_used import Used
from resources.artifact_store import ArtifactStore
from resources.conversations import conversations_sql
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.evaluation.benchmark_data import benchmark_texts
from selection_platform.experiments.keys import PoolTargets
from selection_platform.pools.sources import source_state
from selection_platform.pools.target_examples import refuse_held_out
from sql.queries import load_sql


def target_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""

    def settings(key: str) -> Used:
        name = profile.pool_targets[key].targets
        chosen = profile.target_sets[name]
        state = {"source": source_state(chosen.examples.source)} if chosen.examples else {}
        return {f"targets.{name}": chosen, **state}

    def on_the_hub(key: str) -> bool:
        examples = profile.target_sets[profile.pool_targets[key].targets].examples
        return examples is not None and examples.source.hub is not None

    @platform_asset(
        partitions=partitions.targets,
        deps=[dg.AssetDep("pool", partition_mapping=partitions.pools_to_targets()), "benchmark_data"],
        group="features",
        kinds={"python", "duckdb"},
        settings=settings,
        sql=["36_influence/random_samples", "10_pools/held_out_targets", "10_pools/targets"],
        by=["raw_pool", "pool", "target_samples"],
        changes_unseen=on_the_hub,
    )
    def target_samples(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        """What targeted methods select for: the samples of a target set, beside a pool. Table `pools.targets`.

        No target may overlap an item of the benchmarks, or be a held-out conversation of the pool. A draw from the pool
        leaves samples that overlap items out, and counts them.
        Samples of the pool that repeat a target are counted.
        """
        of = profile.pool_targets[context.partition_key]
        file, left_out = _write(profile, of, artifacts, warehouse)
        targets = pq.read_table(file, columns=["sample_id"])["sample_id"].to_pylist()
        held_out = warehouse.query(load_sql("10_pools/held_out_targets"), {"pool": of.pool, "targets": targets})
        refuse_held_out(list(held_out["prompt"]), of.targets, of.pool)
        partition = {"pool": of.pool, "targets": of.targets}
        rows = warehouse.replace(
            "pools.targets", partition, load_sql("10_pools/targets"), {"file": file, "pool": of.pool}
        )
        counts = warehouse.query(load_sql("10_pools/counts_of_targets"), partition).row(0, named=True)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "pools.targets",
                "dagster/partition_row_count": rows,
                "targets": counts["targets"],
                "groups": counts["groups"],
                "targets that the pool has too": counts["repeated"],
                "left out of the draw, as they overlap items of the benchmarks": left_out,
            },
            data_version=dg.DataVersion(warehouse.content_hash("pools.targets", partition)),
        )

    return [target_samples]


def _write(profile: Profile, of: PoolTargets, artifacts: ArtifactStore, warehouse: Warehouse) -> tuple[Path, int]:
    """Write the samples of a target set to a file, and give its path, and how many were left out of a draw."""
    from selection_platform.evaluation.worked_examples import worked_examples, write_targets
    from selection_platform.pools.target_examples import check_apart, draw_apart, write_examples

    settings, folder = profile.target_sets[of.targets], artifacts.target_samples(of.key)
    file = folder / "targets.parquet"
    texts = list(benchmark_texts(artifacts.benchmark_data()))
    if settings.pool_samples is not None:

        def draw(limit: int) -> None:
            values = {"pool": of.pool, "seed": f"targets/{settings.seed}", "limit": limit}
            warehouse.export(conversations_sql(warehouse, "36_influence/random_samples", values), file, values)

        return file, draw_apart(draw, file, settings.pool_samples, texts, of.targets)
    if settings.examples is not None:
        write_examples(settings.examples, texts, folder, of.targets, file)
    else:
        groups = {name: group for each in settings.benchmarks or () for name, group in worked_examples(each).items()}
        write_targets(groups, file)
    check_apart(file, texts, of.targets, worked=settings.benchmarks is not None)
    return file, 0
