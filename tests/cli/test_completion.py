"""What the Tab key offers, asked as a shell asks."""

import os
import subprocess
import sys

import pytest


def offered(tmp_path, line, **environment):
    """The words that a shell is given for the last word of a line."""
    answer = tmp_path / "offered"
    asked = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "COMP_LINE": line,
        "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "SELECTION_PLATFORM_PROFILE": "demo",
    }  # fmt: skip
    program = [sys.executable, "-m", "selection_platform.cli.main"]
    subprocess.run(program, env={**os.environ, **asked, **environment}, check=True)
    return answer.read_text().split("\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("selection-platform ver", ["verdict", "verify"]),
        ("selection-platform run --dr", ["--dry-run"]),
        ("selection-platform --profile pa", ["paper"]),
        ("selection-platform select x --method km_i", ["km_ifd"]),
        ("selection-platform lineage ifd/i", ["ifd/instruct-mix/demo-3m/32/s0"]),
        ("selection-platform --profile cpu diff base random/s", ["random/sharegpt-en/smollm2-135m/64/s4"]),
    ],
)
def test_words(tmp_path, line, words):
    found = offered(tmp_path, line)
    assert set(words) <= set(found)


def test_a_profile_that_cannot_be_read_offers_nothing(tmp_path):
    assert offered(tmp_path, "selection-platform --profile no.yaml lineage b") == [""]
