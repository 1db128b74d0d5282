"""What Dagster loads: the asset graph of one profile, with its resources, jobs, schedule and sensors."""

import dagster as dg

from assets import build_assets
from orchestration.automation import build_automation, verify_nightly
from orchestration.cleaning import clean_job
from orchestration.damage import verify_job
from resources import build_resources
from selection_platform.configuration.profile import Profile, home, load_profile


def build_definitions(profile: Profile) -> dg.Definitions:
    """Definitions of a profile's graph, with the resources of its home folder."""
    assets = build_assets(profile)
    verify = verify_job(profile, assets)
    graph = dg.Definitions(
        assets=assets,
        resources=build_resources(home(profile), profile.jobs)._asdict(),
        jobs=[
            dg.define_asset_job(
                "experiment",
                # Without the selection, which has more partitions: those of arms that only select.
                selection=["checkpoint", "benchmark_result"],
                description="Fine-tune and evaluate one experiment, or a backfill of many.",
            ),
            clean_job(profile, assets),
            verify,
        ],
        schedules=[verify_nightly(profile, verify)],
    )
    return dg.Definitions.merge(graph, build_automation(profile, assets))


defs = build_definitions(load_profile())
