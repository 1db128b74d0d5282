"""DiverseEvol: samples far from the earlier picks, in the embedding of a model trained on these."""

from pathlib import Path

import dagster as dg

from assets.partitions import Partitions
from assets.record.features import window_metadata
from assets.record.job_inputs import samples_file
from assets.record.score_table import replace_scores, score_asset, scored_partition
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import PassSettings
from selection_platform.job.folder import read_manifest


def method_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scores of the method and of its variant."""
    return [
        _scores(profile, partitions, "diverse_evol", published=False),
        _scores(profile, partitions, "diverse_evol.published", published=True),
    ]


def _scores(profile: Profile, partitions: Partitions, method: str, *, published: bool) -> dg.AssetsDefinition:
    models = dg.AssetDep("base_model", partition_mapping=partitions.models_to_scored(method))
    deps = [*partitions.pools_to_scored(method), models]
    scoring, recipe = profile.scoring.part(PassSettings), profile.fine_tuning
    if published:
        # The published script always cuts at the end.
        scoring = scoring.model_copy(update={"cut": "answer_end"})
        recipe = recipe.model_copy(update={"cut": "tail"})
    uses = {"diverse_evol": profile.diverse_evol, "scoring": scoring, "dtype": profile.dtype}

    @score_asset(
        profile,
        partitions,
        method,
        deps,
        {"pytorch", "duckdb"},
        settings={**uses, "fine_tuning": recipe, "budgets": profile.budgets},
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
                    recipe=recipe,
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
        result = replace_scores(warehouse, profile.methods[method], partition, "diverse_evol", values)
        return result._replace(metadata={**(result.metadata or {}), **_cut(folder / str(max(profile.budgets)))})

    return scores


def _cut(folder: Path) -> dict[str, int]:
    """How many samples a job's windows cut, which is the same in all rounds, and how many its trainings left out."""
    rounds = (read_manifest(folder) or {})["summary"]["rounds"]
    if not rounds or "cut_prompts" not in rounds[-1]:
        return {}
    return {
        **window_metadata(rounds[-1]["cut_prompts"], rounds[-1]["cut_answers"]),
        "samples that a training left out": max(one["left_out"] for one in rounds),
    }
