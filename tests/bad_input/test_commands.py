"""Command lines that cannot be followed: exit status 1 and one message, or 2 and the usage."""

import subprocess
import sys

import pytest
import yaml

from resources.warehouse import Warehouse
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE

RANDOM = "random/mine/tiny/2/s0"
PROFILE = {
    "description": "A test.",
    "pools": {"mine": {"source": {"files": "rows.jsonl"}}},
    "models": {"tiny": {"pretraining": {"steps": 1, "context": 4096}}},
    "evaluation": {"benchmarks": {}},
    "budgets": [2],
    "arms": {"base": {}, "random": {}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a profile, and its home folder with a row in one table."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "own.yaml").write_text(yaml.safe_dump(PROFILE))
    (folder / "file").write_text("mine")
    warehouse = Warehouse(folder=str(folder / "home" / "own" / "warehouse"))
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'a' AS sample_id, 1.0 AS score")
    return folder


def run(place, monkeypatch, capsys, *arguments, home="home"):
    """Exit status, and what stands on standard error."""
    monkeypatch.setenv(HOME_VARIABLE, str(place / home))
    # The command line sets it for the processes that it starts.
    monkeypatch.setenv(PROFILE_VARIABLE, str(place / "own.yaml"))
    try:
        status = main(["--profile", str(place / "own.yaml"), *arguments])
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().err.replace(str(place), "@").strip()


NOT_A_QUERY = "one statement that only reads is needed: SELECT, FROM, WITH, VALUES, TABLE, DESCRIBE, SUMMARIZE, SHOW"
NOT_ALLOWED = "is not allowed after FROM: you can read the warehouse's tables, in the schemas benchmarks, "
DISABLED = "file system operations are disabled by configuration"
STATEMENTS = [
    ("INSERT INTO scores.ifd SELECT * FROM scores.ifd", NOT_A_QUERY),
    ("UPDATE scores.ifd SET score = 2", NOT_A_QUERY),
    ("DELETE FROM scores.ifd", NOT_A_QUERY),
    ("DROP TABLE scores.ifd", NOT_A_QUERY),
    ("ALTER TABLE scores.ifd ADD COLUMN x INTEGER", NOT_A_QUERY),
    ("CREATE TABLE scores.own (x INTEGER)", NOT_A_QUERY),
    ("COPY scores.ifd TO '/tmp/outside.csv'", NOT_A_QUERY),
    ("EXPORT DATABASE '/tmp/outside'", NOT_A_QUERY),
    ("ATTACH '/tmp/other.db'", NOT_A_QUERY),
    ("INSTALL httpfs", NOT_A_QUERY),
    ("PRAGMA memory_limit = '1GB'", NOT_A_QUERY),
    ("SET enable_external_access = true", NOT_A_QUERY),
    ("CALL ducklake_expire_snapshots('warehouse')", NOT_A_QUERY),
    ("BEGIN", NOT_A_QUERY),
    ("SELECT 1; SELECT 2", NOT_A_QUERY),
    ("", NOT_A_QUERY),
    ("EXPLAIN ANALYZE DELETE FROM scores.ifd", NOT_A_QUERY),
    ("EXPLAIN ANALYZE COPY scores.ifd TO 'outside.csv'", NOT_A_QUERY),
    ("FROM checkpoint('warehouse')", f"the function checkpoint {NOT_ALLOWED}"),
    ("FROM read_csv('/etc/passwd')", f"the function read_csv {NOT_ALLOWED}"),
    ("FROM '/etc/passwd.csv'", f'Permission Error: Cannot access file "/etc/passwd.csv" - {DISABLED}'),
    ("FROM other.ifd", "other.ifd is not allowed here: you can read the warehouse's tables"),
    ("FROM 'https://example.com/a.csv'", f'Cannot access file "https://example.com/a.csv" - {DISABLED}'),
    ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
    ("FROM scores.ifdd", 'Catalog Error: Table with name ifdd does not exist!\nDid you mean "ifd"?'),
    ("SELECT scor FROM scores.ifd", 'Binder Error: Referenced column "scor" not found in FROM clause!'),
    ("SELECT $method", "the statement has parameters without a value; add --set method=VALUE"),
]


@pytest.mark.parametrize(("statement", "message"), STATEMENTS)
def test_sql_that_does_more_than_read_or_is_wrong(place, monkeypatch, capsys, statement, message):
    status, error = run(place, monkeypatch, capsys, "sql", statement)
    assert status == 1
    assert error.startswith("selection-platform: ")
    assert message in error
    rows = Warehouse(folder=str(place / "home" / "own" / "warehouse")).query("SELECT sample_id, score FROM scores.ifd")
    assert rows.rows() == [("a", 1.0)]


ALL = "`selection-platform experiments` lists all"
NONE_SUCH = f"that selects samples; did you mean\n  {RANDOM}\n{ALL}"
COMMANDS = [
    ("export of nothing", ["export", "random/mine/tiny/3/s0", "--to", "@/x"],
     f"no experiment 'random/mine/tiny/3/s0' {NONE_SUCH}"),
    ("export of the base model", ["export", "base/tiny", "--to", "@/x"], f"no experiment 'base/tiny' {NONE_SUCH}"),
    ("export before a run", ["export", RANDOM, "--to", "@/x"],
     f"{RANDOM} has not selected yet: run `selection-platform run` first"),
    ("export to a file", ["export", RANDOM, "--to", "@/file"], "--to: @/file is a file; name a folder"),
    ("diff with nothing", ["diff", RANDOM, "x"], f"no experiment 'x' that selects samples: {ALL}"),
    ("diff before a run", ["diff", RANDOM, RANDOM],
     f"{RANDOM} has not selected yet: run `selection-platform run` first"),
    ("refresh of nothing", ["refresh", "scores/nope"],
     "no asset or partition 'scores/nope'; did you mean scores/random, base/tiny? `selection-platform status` "
     "lists what is due"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), [pytest.param(*case, id=id) for id, *case in COMMANDS])
def test_what_cannot_be_done(place, monkeypatch, capsys, arguments, message):
    arguments = [argument.replace("@", str(place)) for argument in arguments]
    assert run(place, monkeypatch, capsys, *arguments) == (1, f"selection-platform: {message}")
    assert (place / "file").read_text() == "mine"


def test_a_question_before_anything_was_made(place, monkeypatch, capsys):
    assert run(place, monkeypatch, capsys, "sql", "SELECT 1", home="new") == (
        1,
        "selection-platform: there is no warehouse at @/new/own/warehouse yet: run `selection-platform run` first",
    )


USAGE = [
    ("no command", [], "the following arguments are required: COMMAND"),
    ("unknown command", ["runn"], "argument COMMAND: invalid choice: 'runn'"),
    ("unknown format", ["export", RANDOM, "--to", "x", "--format", "csv"], "argument --format: invalid choice: 'csv'"),
    ("nowhere to export to", ["export", RANDOM], "the following arguments are required: --to"),
    ("one experiment to compare", ["diff", RANDOM], "the following arguments are required: EXPERIMENT"),
    ("no statement", ["sql"], "the following arguments are required: statement"),
    (
        "a value without a name",
        ["sql", "SELECT 1", "--set", "p"],
        "argument --set: 'p' is not NAME=VALUE, such as pool=",
    ),
    ("a word for a port", ["ui", "--port", "http"], "argument --port: 'http' is not a port; write 1 to 65535"),
    ("a port too high", ["ui", "--port", "65536"], "argument --port: '65536' is not a port; write 1 to 65535"),
]


@pytest.mark.parametrize(("arguments", "message"), [pytest.param(*case, id=id) for id, *case in USAGE])
def test_command_lines_that_are_not_understood(place, monkeypatch, capsys, arguments, message):
    status, error = run(place, monkeypatch, capsys, *arguments)
    assert status == 2
    assert f"error: {message}" in error


def test_an_unknown_profile_and_a_wrong_one(place, monkeypatch, capsys):
    monkeypatch.setenv(PROFILE_VARIABLE, "")
    assert main(["--profile", "dmo", "methods"]) == 1
    assert capsys.readouterr().err == (
        "selection-platform: no profile 'dmo': name one of cpu, demo, paper-lite, paper, or the path of a YAML file\n"
    )
    (place / "wrong.yaml").write_text(yaml.safe_dump({**PROFILE, "budget": 2}))
    assert main(["--profile", str(place / "wrong.yaml"), "methods"]) == 1
    assert capsys.readouterr().err == (
        f"selection-platform: {place}/wrong.yaml: budget: unknown key; did you mean 'budgets'?\n"
    )


@pytest.mark.slow
def test_output_that_nobody_wants_more_of_is_no_error():
    command = [sys.executable, "-m", "selection_platform.cli.main", "methods"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate()
    assert (process.returncode, said) == (0, "")
