"""The assets of single methods, one file each: the method's own features and models, and its scores.

Every file in this folder is loaded. Its function `method_assets` returns the assets that only this method needs,
upstream before downstream. They may read shared features, but no assets of other methods.
"""

from importlib import import_module
from pkgutil import iter_modules

import dagster as dg

from assets.partitions import Partitions
from selection_platform.configuration.profile import Profile


def assets_of_methods(profile: Profile, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of all methods that have a file."""
    names = sorted(module.name for module in iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return [asset for module in modules for asset in module.method_assets(profile, partitions)]
