"""What `sql` prints: a table, JSON or CSV."""

import csv
import io
import json

import pytest
import yaml

from resources.warehouse import Warehouse
from selection_platform.cli.main import main
from selection_platform.cli.sql import MOST_ROWS
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE
from tests.small_run import PROFILE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sql")
    (folder / "own.yaml").write_text(yaml.safe_dump(PROFILE))
    warehouse = Warehouse(folder=str(folder / "home" / "own" / "warehouse"))
    warehouse.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'a' AS sample_id, 1.0 AS score")
    return folder


@pytest.fixture
def printed(folder, monkeypatch, capsys):
    monkeypatch.setenv(HOME_VARIABLE, str(folder / "home"))
    monkeypatch.setenv(PROFILE_VARIABLE, str(folder / "own.yaml"))

    def printed(*arguments):
        assert main(["sql", *arguments]) == 0
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("statement", ["SHOW TABLES", " show all tables ; "])
def test_show_tables_shows_those_of_every_schema(printed, statement):
    tables = {row["name"]: row["columns"] for row in csv.DictReader(io.StringIO(printed(statement, "--csv")))}
    assert tables["scores.ifd"] == "pool, model, seed, budget, sample_id, score, dropped"
    assert "pools.samples" in tables


def test_csv(printed):
    statement = "SELECT 'a,b' AS text, NULL AS nothing, [1, 2] AS list, {'x': 'ü'} AS struct, 0.1 AS number"
    assert printed(statement, "--csv") == 'text,nothing,list,struct,number\n"a,b",,"[1, 2]","{""x"": ""ü""}",0.1\n'


def test_a_table_shows_null_rounds_and_keeps_to_80_columns(printed):
    text = printed("SELECT NULL AS nothing, 1 / 3 AS third, repeat('word ', 30) AS long, '**a**' AS marked")
    assert "NULL" in text
    assert "0.333333\n" in text
    assert "**a**" in text
    assert max(map(len, text.splitlines())) <= 80


def test_rows_that_are_not_shown_are_counted(printed):
    text = printed(f"FROM range({MOST_ROWS + 5})")
    assert text.endswith(f"{MOST_ROWS + 5:,} rows; 5 of them are not shown: --csv and --json print all\n")
    assert len(text.splitlines()) == 2 + MOST_ROWS + 1
    assert len(printed(f"FROM range({MOST_ROWS + 5})", "--csv").splitlines()) == MOST_ROWS + 6


NEEDED = {
    "changed_scores": "snapshot", "flipped_items": "experiment", "other_budget": "budget, method",
    "passed_over": "method", "ties": "method",
}  # fmt: skip
OF_POOLS = {
    "agreement": "pool", "dropped_rows": "pool", "long_answers": "pool", "other_budget": "budget, method, pool",
    "oversampled_clusters": "pool", "passed_over": "method, pool", "sources": "pool", "training_tokens": "pool",
}  # fmt: skip


@pytest.mark.parametrize(("pools", "needed"), [(1, NEEDED), (2, NEEDED | OF_POOLS)])
def test_the_questions_say_which_parameters_they_need(printed, folder, monkeypatch, pools, needed):
    named = {"letters": PROFILE["pools"]["letters"], "words": PROFILE["pools"]["letters"]}
    profile = {**PROFILE, "pools": dict(list(named.items())[:pools])}
    (folder / "other.yaml").write_text(yaml.safe_dump(profile))
    monkeypatch.setenv(PROFILE_VARIABLE, str(folder / "other.yaml"))
    listed = json.loads(printed("@", "--json"))
    assert {row["name"].removeprefix("@"): row["parameters"] for row in listed if row["parameters"]} == needed
    text = printed("@")
    assert max(map(len, text.splitlines())) <= 80
    assert any(line.split()[:2] == ["@ties", "method"] for line in text.splitlines())


HOSTILE = "SELECT 'a' || chr(27) || '[2J' || chr(155) || chr(8238) || 'b' AS text"


def test_a_terminal_obeys_no_text(printed, monkeypatch):
    assert "a\ufffd[2J\ufffdb" in printed(HOSTILE)
    document = printed(HOSTILE, "--json")
    assert json.loads(document) == [{"text": "a\x1b[2J\x9b\u202eb"}]
    assert document.strip().isprintable()
    # A file gets the text as it is.
    assert printed(HOSTILE, "--csv") == "text\na\x1b[2J\x9b\u202eb\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert printed(HOSTILE, "--csv") == "text\na\ufffd[2J\ufffdb\n"
