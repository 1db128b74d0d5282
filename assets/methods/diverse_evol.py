"""DiverseEvol: what lies farthest from what was picked, to a model trained on that."""

import dagster as dg

from assets.partitions import Partitions
from assets.record.job_inputs import samples_file
from assets.record.score_table import replace_scores, score_asset, scored_partition
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import PassSettings


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of the method and of its variant."""
    return [
        _scores(profile, partitions, "diverse_evol", published=False),
        _scores(profile, partitions, "diverse_evol.published", published=True),
    ]


def _scores(profile: Profile, partitions: Partitions, method: str, *, published: bool) -> dg.AssetsDefinition:
    models = dg.AssetDep("base_model", partition_mapping=partitions.models_to_scored(method))
    deps = [*partitions.pools_to_scored(method), models]
    uses = {
        "diverse_evol": profile.diverse_evol,
        "scoring": profile.scoring.part(PassSettings),
        "dtype": profile.dtype,
    }

    @score_asset(
        profile,
        partitions,
        method,
        deps,
        {"pytorch", "duckdb"},
        settings={**uses, "fine_tuning": profile.fine_tuning, "budgets": profile.budgets},
        rendered=lambda key: profile.text_of(profile.scored(method)[key].model),
        sql=["30_features/samples_to_score", "40_scores/diverse_evol"],
        by=["diverse_evol", "fine_tuning", "sample_embedding"],
        gpu=True,
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.methods.diverse_evol.selection import DIVERSE_EVOL, DiverseEvolSpec

        partition = scored_partition(profile, method, context.partition_key)
        pool, model = profile.scored(method)[context.partition_key]
        folder = artifacts.picks(method, context.partition_key)
        samples = samples_file(pool, folder, warehouse)
        picks = [
            jobs.run(
                context,
                DIVERSE_EVOL,
                DiverseEvolSpec(
                    base_model_folder=str(artifacts.base_model(model or "")),
                    samples_file=str(samples),
                    budget=budget,
                    recipe=profile.fine_tuning,
                    text=profile.text_of(model),
                    published=published,
                    **uses,
                ),
                folder / str(budget),
            )
            for budget in profile.budgets
        ]
        values = {
            "pool": pool,
            "budgets": list(profile.budgets),
            "folder": folder,
            "picks": picks,
        }
        return replace_scores(warehouse, method, partition, "diverse_evol", values)

    return scores
