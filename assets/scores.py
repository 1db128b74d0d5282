"""Scores: one asset and one table for each method, higher is picked first."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dagster as dg

from assets.partitions import Partitions
from assets.record.asset import platform_asset
from assets.record.checks import SCORE_CHECKS
from assets.record.job_inputs import samples_file
from assets.record.provenance import Materialize
from assets.record.score_table import replace_scores
from assets.record.settings_used import Used
from resources.artifact_store import ArtifactStore
from resources.job_launcher import JobLauncher
from resources.warehouse import Warehouse
from selection_platform.configuration.method_settings import PUBLISHED_LESS_WEIGHTS
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import PassSettings
from selection_platform.experiments.methods import METHODS
from selection_platform.job.folder import read_manifest
from selection_platform.job.versions import Computation


def score_assets(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """One asset for each scored method. This list is all that the graph knows."""
    sql_score = partial(_sql_score, profile, partitions)
    less = partial(sql_score, statement="less", deps=["gradient_influence"])
    ifd = partial(sql_score, statement="ifd")
    selectit = partial(_selectit, profile, partitions)
    zip_score = partial(_zip, profile, partitions)
    diverse_evol = partial(_diverse_evol, profile, partitions)
    return [
        _random(profile, partitions),
        sql_score("token_length", "token_length", ["token_count"], published=False),
        sql_score("token_length.published", "token_length", ["token_count"], published=True),
        sql_score("entropy", "entropy", ["answer_likelihood"], published=False),
        sql_score("entropy.published", "entropy", ["answer_likelihood"], published=True),
        ifd("ifd", deps=["answer_likelihood"], reader="base", published=False),
        ifd("ifd.pre_experience", deps=["pre_experience_likelihood"], reader="pre_experience", published=False),
        ifd("ifd.published", deps=["pre_experience_likelihood.published"], reader="published", published=True),
        less("less", direction="adam", weights=None),
        less("less.published", direction="published", weights=list(PUBLISHED_LESS_WEIGHTS)),
        selectit("selectit", softmax_twice=False),
        selectit("selectit.published", softmax_twice=True),
        diverse_evol("diverse_evol", published=False),
        diverse_evol("diverse_evol.published", published=True),
        zip_score("zip", published=False),
        zip_score("zip.published", published=True),
        *(_best_of_clusters(profile, partitions, name) for name in METHODS if METHODS[name].best_of_clusters),
    ]


def _sql_score(
    profile: Profile, partitions: Partitions, method: str, statement: str, deps: list[str], **values: Any
) -> dg.AssetsDefinition:
    """An asset whose scores are a formula: the statement `sql/40_scores/<statement>.sql`."""

    @_score_asset(profile, partitions, method, deps, {"sql", "duckdb"}, settings={}, sql=[f"40_scores/{statement}"])
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = _partition(profile, method, context.partition_key)
        # A value that a statement does not name is an error.
        of_partition = {name: value for name, value in partition.items() if value is not None}
        return replace_scores(warehouse, method, partition, statement, {**of_partition, **values})

    return scores


def _random(profile: Profile, partitions: Partitions) -> dg.AssetsDefinition:
    seeds = profile.arms["random"].seeds if "random" in profile.arms else ()

    @_score_asset(
        profile,
        partitions,
        "random",
        ["pool"],
        {"sql", "duckdb"},
        settings={"arms.random.seeds": seeds},
        sql=["40_scores/random"],
    )
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = _partition(profile, "random", context.partition_key)
        values = {"pool": partition["pool"], "seeds": list(seeds)}
        return replace_scores(warehouse, "random", partition, "random", values)

    return scores


def _selectit(profile: Profile, partitions: Partitions, method: str, *, softmax_twice: bool) -> dg.AssetsDefinition:
    ratings = dg.AssetDep("rating_probability", partition_mapping=partitions.ratings_to_scorings())

    @_score_asset(
        profile,
        partitions,
        method,
        [ratings],
        {"sql", "duckdb"},
        settings={"selectit": profile.selectit},
        sql=["40_scores/selectit"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        scoring = profile.scorings[context.partition_key]
        raters = profile.raters_of(scoring.model)
        manifests = [read_manifest(artifacts.base_model(rater)) or {} for rater in raters]
        values = {
            "pool": scoring.pool,
            "raters": raters,
            "weights": [float(manifest["parameters"]) for manifest in manifests],
            "alpha": profile.selectit.alpha,
            "level": profile.selectit.level,
            "softmax_twice": softmax_twice,
        }
        return replace_scores(warehouse, method, _partition(profile, method, context.partition_key), "selectit", values)

    return scores


def _diverse_evol(profile: Profile, partitions: Partitions, method: str, *, published: bool) -> dg.AssetsDefinition:

    models = dg.AssetDep("base_model", partition_mapping=partitions.models_to_scored(method))
    deps = [*partitions.pools_to_scored(method), models]
    uses = {
        "diverse_evol": profile.diverse_evol,
        "scoring": profile.scoring.part(PassSettings),
        "dtype": profile.dtype,
    }

    @_score_asset(
        profile,
        partitions,
        method,
        deps,
        {"pytorch", "duckdb"},
        settings={**uses, "fine_tuning": profile.fine_tuning, "budgets": profile.budgets},
        rendered=True,
        sql=["30_features/samples_to_score", "40_scores/diverse_evol"],
        by=["diverse_evol", "fine_tuning", "sample_embedding"],
        gpu=True,
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse, jobs: JobLauncher
    ) -> dg.MaterializeResult:
        from selection_platform.methods.diverse_evol.selection import DIVERSE_EVOL, DiverseEvolSpec

        partition = _partition(profile, method, context.partition_key)
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


def _zip(profile: Profile, partitions: Partitions, method: str, *, published: bool) -> dg.AssetsDefinition:
    @_score_asset(
        profile,
        partitions,
        method,
        partitions.pools_to_scored(method),
        {"python", "duckdb"},
        settings={"zip": profile.zip, "budgets": max(profile.budgets)},
        sql=["30_features/samples_to_score", "40_scores/zip"],
        by=["zip"],
    )
    def scores(
        context: dg.AssetExecutionContext, artifacts: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult:
        from selection_platform.methods.zip.picks import write_picks
        from selection_platform.methods.zip.selection import ZipSettings

        partition = _partition(profile, method, context.partition_key)
        folder = artifacts.picks(method, context.partition_key)
        samples = samples_file(context.partition_key, folder, warehouse)
        settings = ZipSettings(**profile.zip.content(), published=published)
        picks = write_picks(samples, max(profile.budgets), settings, folder)
        return replace_scores(warehouse, method, partition, "zip", {"pool": partition["pool"], "picks": picks})

    return scores


def _best_of_clusters(profile: Profile, partitions: Partitions, method: str) -> dg.AssetsDefinition:
    wrapped = METHODS[METHODS[method].best_of_clusters or ""]

    @_score_asset(
        profile,
        partitions,
        method,
        partitions.clusters_and_scores_to_scored(method),
        {"sql", "duckdb"},
        settings={"budgets": profile.budgets},
        sql=["40_scores/best_of_clusters"],
    )
    def scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        partition = _partition(profile, method, context.partition_key)
        values = {
            **partition,
            "scores": wrapped.table,
            "scores_pool": profile.whole_pool(partition["pool"] or ""),
            "scores_model": partition["model"] if wrapped.scored_per == "scoring" else None,
            "budgets": list(profile.budgets),
        }
        return replace_scores(warehouse, method, partition, "best_of_clusters", values)

    return scores


def _score_asset(
    profile: Profile,
    partitions: Partitions,
    method: str,
    deps: Sequence[str | dg.AssetDep],
    kinds: set[str],
    *,
    settings: Used,
    rendered: bool = False,
    sql: Sequence[str],
    by: Sequence[Computation] = (),
    gpu: bool = False,
) -> Callable[[Materialize], dg.AssetsDefinition]:
    summary = METHODS[method].summary
    return platform_asset(
        key=["scores", method],
        description=f"{summary[0].upper()}{summary[1:]}. Table `{METHODS[method].table}`.",
        partitions=partitions.scored(method),
        deps=deps,
        checks=SCORE_CHECKS,
        group="scores",
        kinds=kinds,
        settings=settings,
        rendered=rendered,
        sql=sql,
        by=by,
        gpu=gpu,
    )


def _partition(profile: Profile, method: str, partition_key: str) -> dict[str, str | None]:
    return profile.scored(method)[partition_key]._asdict()
