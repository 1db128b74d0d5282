"""What README and docs say of the command line, the methods and the profiles is true."""

import re
from pathlib import Path

import pytest

from selection_platform.cli.main import main
from selection_platform.configuration.profile import shipped_profiles
from selection_platform.experiments.methods import BEST_OF_CLUSTERS, COVERAGE, METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}
WRAPPERS = BEST_OF_CLUSTERS, COVERAGE
SCORED_FOR = {"pool": "pool", "scoring": "pool and base model", None: "—"}


def rows(text, name):
    return text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip().splitlines()[2:]


def test_the_table_of_methods():
    assert rows(README, "methods") == [
        *(row([method]) for method in METHODS.values() if method.variant_of is None and not method.wraps),
        *(row([method for method in METHODS.values() if method.name.startswith(prefix)]) for prefix in WRAPPERS),
    ]


def row(methods):
    """The row of a method, or of a kind of wrappers."""
    names = ", ".join(f"`{method.name}`" for method in methods)
    summary = methods[0].summary.replace(f"`{methods[0].wraps}`", "that method")
    return f"| {names} | {summary} | {SCORED_FOR[methods[0].scored_per]} |"


def test_the_table_of_variants():
    documented = [row.split("`")[1] for row in rows(PAGES["methods"], "variants")]
    assert documented == [method.name for method in METHODS.values() if method.variant_of]


def test_every_command_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^  (\w+) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert {"run", "status", "methods", "sql", "export", "ui"} <= set(commands)
    for command in commands:
        assert f"`selection-platform {command}" in PAGES["commands"]


def test_every_profile_is_named():
    for profile in shipped_profiles():
        assert f"[`{profile}`]" in PAGES["profiles"]


def test_every_linked_file_is_there():
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "RESULTS.md"):
        links = re.findall(r"\]\((?!http)([^)]+)\)", page.read_text(encoding="utf-8"))
        for file, _, heading in (link.partition("#") for link in links):
            assert (page.parent / file).exists(), (page, file)
            linked = (page.parent / file if file else page).read_text(encoding="utf-8") if heading else ""
            assert not heading or heading in {anchor(title) for title in re.findall("^#+ (.+)$", linked, re.MULTILINE)}


def test_the_readme_is_short_and_the_index_names_every_page():
    assert len(README.splitlines()) <= 200
    assert {page for page in PAGES if page != "README" and f"({page}.md" not in PAGES["README"]} == set()


def test_the_whole_profile_stands_as_it_is_tested():
    profile = (ROOT / "docs" / "own_profile.yaml").read_text(encoding="utf-8")
    assert f"```yaml\n{profile}```" in README
    assert f"```yaml\n{profile}```" in PAGES["your_data"]


def test_the_glossary_is_short_and_in_order():
    terms = re.findall(r"^\| \*\*(.+?)\*\*", PAGES["glossary"], re.MULTILINE)
    assert len(terms) <= 30
    assert [term.lower() for term in terms] == sorted(term.lower() for term in terms)


def anchor(heading):
    """What GitHub calls a heading in links."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_list_of_decisions_is_whole_and_each_is_short():
    folder = ROOT / "docs" / "decisions"
    pages = sorted(folder.glob("0*.md"))
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((0\d+[^)]*)\) \| (.+) \|", index) == [
        (page.name, page.read_text(encoding="utf-8").splitlines()[0].split(maxsplit=2)[2]) for page in pages
    ]
    assert all(len(page.read_text(encoding="utf-8").splitlines()) < 25 for page in pages)
