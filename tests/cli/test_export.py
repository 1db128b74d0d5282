"""What `export` writes of the finished small run."""

import json

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from selection_platform.cli.main import main
from tests.small_run import ENTROPY, RANDOM, TOKEN_LENGTH, change_profile, output_of


def message(capsys, place, *arguments):
    capsys.readouterr()
    assert main(["--profile", str(place.profile), "export", *arguments]) == 1
    return capsys.readouterr().err.removeprefix("selection-platform: ").rstrip()


def exported(capsys, place, *arguments):
    """The card of an exported model: its front matter and its text."""
    to = str(place.folder / "model")
    output_of(capsys, place, "export", "--model", *arguments, "--to", to)
    _, front, text = (place.folder / "model" / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def selection_hash(capsys, place, experiment):
    lineage = json.loads(output_of(capsys, place, "lineage", experiment, "--json"))
    return next(each["data_version"] for each in lineage["partitions"] if each["asset"] == "selection")


def test_a_model_and_its_card(place, capsys):
    front, text = exported(capsys, place, ENTROPY)
    assert front == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["selection-platform", "data-selection"],
    }
    for row in (
        "| method | entropy: the answers that the base model finds least likely, per token |",
        "| pool | letters |", "| budget | 6 |", f"| hash | {selection_hash(capsys, place, ENTROPY)} |",
        "| learning rate | 0.001 |", "| adapter | none: full fine-tuning |", "| rows | 6 |",
    ):  # fmt: skip
        assert row in text
    (loss,) = (line for line in text.splitlines() if line.startswith("| held_out_loss/letters"))
    value = output_of(
        capsys, place, "sql", f"SELECT value FROM benchmarks.results WHERE experiment = '{ENTROPY}' AND metric = "
        "'bits_per_byte'", "--json",
    )  # fmt: skip
    assert f"{json.loads(value)[0]['value']:.4f}" in loss
    assert " to " in loss
    assert "| average" in text
    assert "Base model: its files state no licence." in text
    assert "Some rows have no known licence" in text
    folder = place.folder / "model"
    AutoModelForCausalLM.from_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_results_of_another_model_are_left_out(place, capsys):
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    output_of(capsys, place, "refresh", "checkpoint")
    assert "This model was not evaluated." in exported(capsys, place, ENTROPY)[1]


def test_the_recipe_is_that_of_the_training(place, capsys):
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    assert "| learning rate | 0.001 |" in exported(capsys, place, ENTROPY)[1]


def test_a_base_model_has_results_and_no_selection(place, capsys):
    _, text = exported(capsys, place, "base/tiny")
    assert "## Results\n\n| benchmark" in text
    assert "## Selection" not in text
    assert "There is no comparison with random selection." in text


def test_what_cannot_be_exported(place, capsys):
    to = ("--to", str(place.folder / "out"))
    assert message(capsys, place, "--model", "zip/letters/tiny/6/s0", *to).startswith(
        "no experiment 'zip/letters/tiny/6/s0' that has a model"
    )
    assert message(capsys, place, "--adapter", ENTROPY, *to).startswith("--adapter: it needs --model; add that")
    assert message(capsys, place, "--model", ENTROPY, "--format", "jsonl", *to).startswith(
        "--format: it is for selected conversations"
    )
    assert message(capsys, place, "--model", "--adapter", ENTROPY, *to).startswith("--adapter: the experiment's model")
    change_profile(place, arms={"token_length": {"train": False}})
    assert message(capsys, place, "--model", TOKEN_LENGTH, *to).startswith(
        f"no experiment '{TOKEN_LENGTH}' that has a m"
    )
    change_profile(place, arms={"random": {"seeds": [0, 1, 2]}})
    assert message(capsys, place, "--model", RANDOM[2], *to) == (
        f"{RANDOM[2]} has no model yet: run `selection-platform refresh {RANDOM[2]}` first"
    )
    assert not (place.folder / "out").exists()


def test_dropped_weights_are_named(place, capsys):
    change_profile(place, checkpoints={"keep": "none"})
    output_of(capsys, place, "clean")
    assert message(capsys, place, "--model", ENTROPY, "--to", str(place.folder / "out")) == (
        f"the weights of {ENTROPY} were deleted after its evaluation (`checkpoints: keep` in the profile); "
        f"train them again with `selection-platform refresh {ENTROPY} --rebuild`"
    )


@pytest.mark.parametrize("model_first", [True, False])
def test_a_model_and_a_selection_do_not_write_over_each_other(place, capsys, model_first):
    to = ("--to", str(place.folder / "out"))
    commands = [("--model", ENTROPY, *to), (ENTROPY, *to)]
    first, second = commands if model_first else commands[::-1]
    output_of(capsys, place, "export", *first)
    assert "was not written by an export" in message(capsys, place, *second)
    output_of(capsys, place, "export", *first)
