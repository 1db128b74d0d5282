import json

import pytest
import yaml

from selection_platform.cli.main import main
from tests.small_run import conversations


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    # The command sets it for Dagster's processes; this puts it back.
    monkeypatch.setenv("SELECTION_PLATFORM_PROFILE", "demo")
    rows = [json.dumps({"messages": row}) for row in conversations(40, seed=0)]
    (tmp_path / "My Chats.jsonl").write_text("\n".join([*rows, "not JSON"]))
    return tmp_path


def message(capsys, *arguments):
    capsys.readouterr()
    assert main(arguments) == 1
    return capsys.readouterr().err.removeprefix("selection-platform: ").rstrip()


def selected(folder):
    return [json.loads(line)["sample_id"] for line in (folder / "train.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_one_command_selects_and_the_next_makes_only_what_is_new(folder, capsys):
    command = ["select", "My Chats.jsonl", "--budget", "5", "--to", "chosen", "--format", "jsonl"]
    assert main([*command, "--method", "zip"]) == 0
    output = capsys.readouterr().out
    assert "scores/zip  my-chats" in output
    assert f"selection-platform --profile {folder}/chosen/profile.yaml ui" in output
    by_zip = selected(folder / "chosen")
    assert len(set(by_zip)) == 5
    assert (
        main(["--profile", "chosen/profile.yaml", "sql", "SELECT sum(samples) AS n FROM pools.dropped", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out) == [{"n": 1}]
    assert main([*command, "--method", "random", "--seed", "3"]) == 0
    assert "raw_pool" not in capsys.readouterr().out
    assert len(selected(folder / "chosen")) == 5
    assert message(capsys, *command, "--method", "zip", "--budget", "41").startswith(
        "budgets: 41 is above the 40 samples of pool 'my-chats'"
    )


@pytest.mark.slow
def test_an_unknown_role_names_the_option(folder, capsys):
    (folder / "chats.jsonl").write_text('{"messages": [{"role": "patient", "content": "Why?"}]}')
    command = ["select", "chats.jsonl", "--method", "zip", "--budget", "5", "--to", "chosen"]
    assert message(capsys, *command).endswith("such as --roles patient=user,OTHER=assistant")


def test_a_trainer_needs_a_base_model(folder, capsys):
    command = ["select", "My Chats.jsonl", "--method", "zip", "--budget", "5", "--format", "trl", "--to", "chosen"]
    assert message(capsys, *command) == (
        "--format: trl needs a base model, and zip/my-chats/5/s0 is neither scored nor trained with one; name one, or "
        "write jsonl or parquet or dataset"
    )
    assert not (folder / "chosen").exists()


def test_nothing_of_yours_is_written_over(folder, capsys):
    (folder / "own").mkdir()
    (folder / "own" / "train.jsonl").write_text("mine")
    command = ["select", "My Chats.jsonl", "--method", "random", "--budget", "5", "--to"]
    assert message(capsys, *command, "own").startswith("--to: own/train.jsonl was not written by an export")
    assert message(capsys, *command, ".") == (
        f"--to: {folder / 'My Chats.jsonl'} is a file of the source; name another folder"
    )
    assert (folder / "own" / "train.jsonl").read_text() == "mine"
    assert not (folder / "profile.yaml").exists()


@pytest.mark.slow
def test_rows_of_any_names_are_read_from_several_files(folder, capsys):
    for name in "ab":
        rows = [f"{name}{number};What is {number}?;It is {name}." for number in range(10)]
        (folder / f"{name}.csv").write_text("\n".join(["ticket;asked by customer;reply by agent", *rows]))
    names = "prompt=asked by customer,answer=reply by agent"
    command = ["select", "a.csv", "b.csv", "--columns", names, "--method", "random", "--budget", "20", "--to", "out"]
    assert main([*command, "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in (folder / "out" / "train.jsonl").read_text().splitlines()]
    assert {row["messages"][1]["content"] for row in rows} == {"It is a.", "It is b."}
    assert all(row["messages"][0]["content"] == f"What is {row['file_row'] - 1}?" for row in rows)
    assert {row["file"] for row in rows} == {str(folder / "a.csv"), str(folder / "b.csv")}
    card = (folder / "out" / "README.md").read_text()
    assert "| selected from | 20 conversations |" in card
    assert "| rows of the source that were dropped | none |" in card
    assert message(capsys, "init", "a.csv").startswith("form: cannot be recognised from the rows")
    assert message(capsys, "init", "a.csv", "--form", "alpaca", "--column", "x").startswith("column: ")


@pytest.mark.slow
def test_two_folders_of_one_name_do_not_disturb_each_other(folder, capsys):
    for parent, seed in (("a", "0"), ("b", "1")):
        command = ["select", "My Chats.jsonl", "--method", "random", "--budget", "9", "--seed", seed]
        assert main([*command, "--to", f"{parent}/out", "--format", "jsonl"]) == 0
    assert selected(folder / "a/out") != selected(folder / "b/out")
    names = {yaml.safe_load((folder / parent / "out/profile.yaml").read_text())["name"] for parent in "ab"}
    assert {path.name for path in (folder / "home").iterdir()} == names


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["chats.jsn", "--method", "zip"],
            "chats.jsn: no such file or folder, and not the id of a dataset on the hub",
        ),
        (["s3://b/chats.jsonl", "--method", "zip"], "s3://b/chats.jsonl is an address; fetch the files"),
        (["missing.jsonl", "--method", "zip"], "missing.jsonl: no such file or folder"),
        (["My Chats.jsonl", "--method", "zap"], "--method: no method 'zap' that selects; did you mean 'zip'?"),
        (["My Chats.jsonl", "--method", "base"], "--method: no method 'base' that selects"),
        (["My Chats.jsonl", "--method", "ifd"], "--method: ifd scores with a base model; name it with --model"),
        (["My Chats.jsonl", "--method", "zip", "--split", "x"], "--split: only for a hub dataset"),
        (["My Chats.jsonl", "--method", "zip", "--budget", "0"], "out/profile.yaml: budgets: must be positive"),
        (["My Chats.jsonl", "--method", "random", "--seed", "-1"], "out/profile.yaml: arms.random.seeds.0: must be"),
        (["none*.jsonl", "--method", "zip"], "files: nothing matches "),
        (
            ["My Chats.jsonl", "--method", "ifd", "--model", "gpt"],
            "--model: 'gpt' is not a folder, not the id of a model on the hub",
        ),
    ],
)
def test_what_cannot_be_selected_is_said_at_once(folder, capsys, arguments, problem):
    assert message(capsys, "select", "--budget", "5", *arguments, "--to", "out").startswith(problem)
    assert not (folder / "out").exists()


def test_a_profile_of_yours_is_not_ignored(folder, capsys):
    command = ["--profile", "demo", "select", "My Chats.jsonl", "--method", "zip", "--budget", "5", "--to", "out"]
    assert message(capsys, *command).startswith("--profile: this command does not read one")


def test_a_profile_of_yours_is_not_written_over(folder, capsys):
    (folder / "own").mkdir()
    (folder / "own" / "profile.yaml").write_text("mine")
    command = ["select", "My Chats.jsonl", "--method", "random", "--budget", "5", "--to", "own"]
    assert message(capsys, *command) == (
        "--to: own/profile.yaml is your own profile, which is never overwritten; name another folder"
    )
    assert (folder / "own" / "profile.yaml").read_text() == "mine"
