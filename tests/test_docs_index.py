"""docs/README.md is the way to every page."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_index_names_each_page():
    linked = set(re.findall(r"\]\(([\w/]+\.md)", (DOCS / "README.md").read_text()))
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert pages - linked == set()
    assert {page for page in linked if not (DOCS / page).is_file()} == set()
