"""A profile's graph with its resources, for the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets import build_assets
from assets.record.catalog_age import check_catalog
from orchestration.home_owner import own_home
from orchestration.materialize import open_instance
from orchestration.staleness import Staleness
from resources import Resources, build_resources
from selection_platform.configuration.profile import Profile, home


@dataclass(frozen=True)
class Workspace:
    """One profile in its home folder.

    Attributes:
        profile: the profile.
        assets: its assets, upstream before downstream.
        resources: the warehouse, the artifacts, and the job launcher.
        instance: the Dagster instance of the home folder.
        staleness: compares the profile with what was materialised.
    """

    profile: Profile
    assets: list[dg.AssetsDefinition]
    resources: Resources
    instance: dg.DagsterInstance
    staleness: Staleness

    @classmethod
    def of(
        cls, profile: Profile, assets: list[dg.AssetsDefinition], resources: Resources, instance: dg.DagsterInstance
    ) -> "Workspace":
        """A workspace with open resources and a new staleness, which has read nothing yet."""
        return cls(profile, assets, resources, instance, Staleness(profile, assets, instance, resources))

    @property
    def home(self) -> Path:
        """The profile's folder."""
        return home(self.profile)


@contextmanager
def open_workspace(profile: Profile) -> Iterator[Workspace]:
    """Open the home folder of a profile, and create it if it does not exist.

    Raises:
        PlatformError: the folder belongs to another profile of the same name.
        OlderCatalog: the warehouse's catalog is older than Dagster's records.
    """
    own_home(profile)
    with open_instance(home(profile)) as instance:
        resources = build_resources(home(profile), profile.jobs)
        check_catalog(instance, resources.warehouse)
        yield Workspace.of(profile, build_assets(profile), resources, instance)
