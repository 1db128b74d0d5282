"""The asset graph: pools, models, features, scores, selections, checkpoints, benchmarks, reports, in this order.

Assets are thin: they read, call the library or a SQL file, write, and return metadata.
"""

import dagster as dg

from assets.benchmarks import benchmark_assets
from assets.checkpoints import checkpoint_assets
from assets.features import feature_assets
from assets.models import model_assets
from assets.partitions import Partitions
from assets.pools import pool_assets
from assets.reports import report_assets
from assets.scores import score_assets
from assets.selections import selection_assets
from selection_platform.profile import Profile


def build_assets(profile: Profile) -> list[dg.AssetsDefinition]:
    """Every asset of a profile, upstream before downstream."""
    partitions = Partitions(profile)
    stages = (
        pool_assets,
        model_assets,
        feature_assets,
        score_assets,
        selection_assets,
        checkpoint_assets,
        benchmark_assets,
        report_assets,
    )
    return [asset for stage in stages for asset in stage(profile, partitions)]
