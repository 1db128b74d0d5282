"""Data packages that are there, and what is said of those that are not."""

import re
from pathlib import Path

import pytest

from selection_platform.data_packages import INSTALL, MissingPackage, check_packages, packaged_file


def test_a_file_of_an_installed_package():
    assert packaged_file("pytest", "pytest/__init__.py").is_file()
    assert packaged_file("pytest") == packaged_file("pytest", "pytest").parent


@pytest.mark.parametrize(
    ("files", "are"),
    [
        ([("pytest", "pytest/__init__.py"), ("no-such", "a"), ("no-such", "b")], "package no-such is"),
        ([("pytest", "pytest/no_such.py"), ("no-such", "a")], "packages pytest, no-such are"),
    ],
)
def test_all_that_are_missing_are_named_at_once(files, are):
    message = f"data {are} not installed, or of another version; run: {INSTALL}"
    with pytest.raises(MissingPackage, match=f"^{re.escape(message)}$"):
        check_packages(files)


def test_the_command_names_a_file_that_is_installed_with_the_platform():
    file = Path(INSTALL.split()[-1])
    assert all("==" in line for line in file.read_text().splitlines() if not line.startswith("#"))
