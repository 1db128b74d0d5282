from pathlib import Path

import pytest

from selection_platform.models.licence import package_licence, stated_licence


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({}, None),
        ({"README.md": "---\nlicense: apache-2.0\n---\n# A model"}, "apache-2.0"),
        ({"README.md": "---\nlicense: other\nlicense_name: gemma\n---\n"}, "gemma"),
        ({"README.md": "---\nlicense: [mit, cc-by-4.0]\n---\n"}, "mit, cc-by-4.0"),
        ({"README.md": "---\nlicense: [mit\n---\n", "LICENSE": "\n  Apache License\n"}, "Apache License (LICENSE)"),
        ({"README.md": "license: mit"}, None),
        ({"LICENCE.txt": "MIT License\n\nCopyright"}, "MIT License (LICENCE.txt)"),
    ],
)
def test_what_the_files_state(tmp_path: Path, files: dict[str, str], licence: str | None):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert stated_licence(tmp_path) == licence


def test_what_a_package_states():
    assert package_licence("numpy") is not None
    assert package_licence("no-such-package") is None
