"""The pages about a profile say what the classes say that read it."""

import re

import pytest

from tools.write_profile_reference import files, page, schema

PARTS = {"Profile": schema(), **schema()["$defs"]}
SETTINGS = {f"{part}.{name}": field for part, made in PARTS.items() for name, field in made["properties"].items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_says_what_it_is(name):
    assert SETTINGS[name]["description"].endswith(".")


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_the_file_is_up_to_date(file):
    assert file.read_text(encoding="utf-8") == files()[file], "run .venv/bin/python tools/write_profile_reference.py"


def test_an_editor_knows_what_may_be_left_out_and_which_arms_there_are():
    made = schema()
    assert set(made["required"]) == {"pools", "arms"}
    assert {"type": "null"} in made["properties"]["arms"]["additionalProperties"]["anyOf"]
    methods, own = made["properties"]["arms"]["propertyNames"]["anyOf"]
    assert "km_less" in methods["enum"]
    assert re.search(own["pattern"], "my-scores")
    assert not re.search(own["pattern"], "My scores")


def test_the_page_tells_content_from_speed_and_upkeep():
    rows = {row.split("`")[1]: row for row in page(schema()).splitlines() if row.startswith("| `")}
    assert "| speed |" in rows["gradient_checkpointing"]
    assert "| upkeep |" in rows["cron"]
    assert "| content |" in rows["global_batch"]
