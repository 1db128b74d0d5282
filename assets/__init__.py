"""The asset graph: pools, models, features, scores, selections, checkpoints, benchmarks, reports, in this order.

Scores that the user gives come right after the pools. Features that several methods share are in `features`, those of
one method in `methods`. Asset checks are in `record.checks`.

Assets are thin: they read, call the library or a SQL file, write, and return metadata.
"""

import dagster as dg

from assets.benchmarks import benchmark_assets
from assets.checkpoints import checkpoint_assets
from assets.features import feature_assets
from assets.given_scores import given_score_assets
from assets.methods import assets_of_methods
from assets.models import model_assets
from assets.partitions import Partitions
from assets.pools import pool_assets
from assets.reports import report_assets
from assets.scores import score_assets
from assets.selections import selection_assets
from assets.sentences import sentence_assets
from assets.targets import target_assets
from selection_platform.configuration.profile import Profile


def build_assets(profile: Profile) -> list[dg.AssetsDefinition]:
    """Every asset that a profile's arms need, upstream before downstream."""
    partitions = Partitions(profile)
    stages = (
        pool_assets,
        given_score_assets,
        model_assets,
        target_assets,
        sentence_assets,
        feature_assets,
        assets_of_methods,
        score_assets,
        selection_assets,
        checkpoint_assets,
        benchmark_assets,
        report_assets,
    )
    return _needed([asset for stage in stages for asset in stage(profile, partitions)])


def _needed(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """Leave out models, features and scores that no arm uses.

    Args:
        assets: upstream before downstream.
    """
    wanted: set[dg.AssetKey] = set()
    kept: list[dg.AssetsDefinition] = []
    for asset in reversed(assets):
        groups = {spec.group_name for spec in asset.specs}
        if wanted & asset.keys or not groups & {"features", "models", "scores"}:
            wanted |= set(asset.dependency_keys)
            kept.insert(0, asset)
    return kept
