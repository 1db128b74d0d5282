"""What the README says of the command line, the methods and the profiles is true."""

import re
from pathlib import Path

import pytest

from selection_platform.cli.main import main
from selection_platform.configuration.profile import shipped_profiles
from selection_platform.experiments.methods import METHODS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
METHODS_PAGE = (Path(__file__).parents[1] / "docs" / "methods.md").read_text(encoding="utf-8")
SCORED_FOR = {"pool": "pool", "scoring": "pool and base model", None: "—"}


def rows(text, name):
    return text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip().splitlines()[2:]


def test_the_table_of_methods():
    assert rows(README, "methods") == [
        f"| `{method.name}` | {method.summary} | {SCORED_FOR[method.scored_per]} |"
        for method in METHODS.values()
        if method.variant_of is None
    ]


def test_the_table_of_variants():
    documented = [row.split("`")[1] for row in rows(METHODS_PAGE, "variants")]
    assert documented == [method.name for method in METHODS.values() if method.variant_of]


def test_every_command_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert {"run", "status", "methods", "sql", "export", "ui"} <= set(commands)
    for command in commands:
        assert f"`selection-platform {command}" in README


def test_every_profile_is_named():
    for profile in shipped_profiles():
        assert f"[`{profile}`]" in README


def test_every_linked_file_is_there():
    root = Path(__file__).parents[1]
    for page in (root / "README.md", *(root / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!http)([^)]+)\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == [], page
