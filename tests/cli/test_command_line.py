"""The command line as a person types it: where options stand, what help says, and the exit status."""

import argparse
import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest
import yaml

from selection_platform.cli.command_line import GROUPS, parser
from selection_platform.cli.main import main
from selection_platform.cli.shared import print_json
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE, load_profile
from selection_platform.experiments.keys import find, nearest
from tests.small_run import PROFILE

COMMANDS = {name: what for group in parser().commands.groups.values() for name, what in group.items()}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(PROFILE_VARIABLE, "")


def output_of(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_the_first_screen_names_every_command_in_80_columns(capsys):
    text = output_of(capsys, "--help")
    assert max(map(len, text.splitlines())) <= 88
    assert set(re.findall(r"^  (\w+) ", text, re.MULTILINE)) == set(COMMANDS)
    assert re.findall(r"^([A-Z][\w ]+):$", text, re.MULTILINE) == [*GROUPS, "Options"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_sentence_and_an_example_that_is_understood(capsys, command):
    text = output_of(capsys, command, "--help")
    assert f"{COMMANDS[command][1:]}." in text
    (example,) = re.findall(r"^Example: selection-platform (.*)$", text, re.MULTILINE)
    assert shlex.split(example)[0] == command
    assert isinstance(parser().parse_args(shlex.split(example)), argparse.Namespace)


def test_the_version(capsys):
    known = f"selection-platform {version('selection-platform')}\n"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == known
    assert output_of(capsys, "--profile", "demo", "--version") == known


@pytest.mark.parametrize("arguments", [["--profile", "{}", "methods"], ["methods", "--profile", "{}"]])
def test_the_profile_before_or_after_the_command(capsys, tmp_path, arguments):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(PROFILE))
    assert main([each.format(file) for each in arguments]) == 0
    assert re.search(r"^random +2 seeds", capsys.readouterr().out, re.MULTILINE)


def test_a_command_that_reads_no_profile_says_so(capsys):
    assert main(["init", "chats.jsonl", "--profile", "demo"]) == 1
    assert capsys.readouterr().err == ("selection-platform: --profile: this command does not read one; leave it out\n")


def keys(key):
    return [each.key for each in find(load_profile("demo").experiments, key)]


def test_short_keys():
    assert keys("ifd/instruct-mix") == ["ifd/instruct-mix/demo-3m/32/s0"]
    assert keys("random/sharegpt-en/s2") == ["random/sharegpt-en/demo-3m/32/s2"]
    assert keys("ifd/32") == keys("ifd")
    assert keys("ifd/sharegpt-en@80") == ["ifd/sharegpt-en@80/demo-3m/32/s0"]
    assert keys("base") == ["base/demo-3m"]
    # The order of the parts counts, and each part is whole.
    assert keys("instruct-mix/ifd") == keys("if") == keys("") == []


def test_the_nearest_keys_of_a_wrong_one():
    known = load_profile("demo").experiments
    assert nearest(known, "ifd/instrct-mix/demo-3m/32/s0")[0] == "ifd/instruct-mix/demo-3m/32/s0"
    assert nearest(known, "#") == []


def test_json_has_null_for_what_is_no_number(capsys):
    print_json({"a": [float("nan"), 1.5, (float("-inf"),)], "b": {"c": float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5, [None]], "b": {"c": None}}


def test_help_waits_for_no_large_library():
    program = "import selection_platform.cli.command_line, sys; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"selection_platform", "pydantic"} <= set(loaded)
    assert not {"numpy", "pyarrow", "polars", "torch", "dagster", "duckdb", "matplotlib", "scipy"} & set(loaded)
