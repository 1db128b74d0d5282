"""A checkpoint of another trainer is evaluated, judged and explained like one that was trained here."""

import json
import os
import shutil

import pytest
from safetensors.torch import load_file, save_file

from selection_platform.cli.main import main
from selection_platform.job.folder import read_manifest
from tests.small_run import (
    ENTROPY,
    RANDOM,
    RESULT_REPORTS,
    change_profile,
    due,
    materializations,
    output_of,
    refreshed,
    version,
)

RESULT = f"benchmark_result {ENTROPY}"
CHECKPOINT = f"checkpoint {ENTROPY}"


def write_weights(place, factor):
    """What another trainer made of the base model: here, another arm's weights, scaled."""
    own = place.home / "artifacts" / "checkpoint" / RANDOM[0]
    theirs = place.folder / "theirs"
    theirs.mkdir(exist_ok=True)
    (theirs / "config.json").write_bytes((own / "config.json").read_bytes())
    weights = {name: weight * factor for name, weight in load_file(own / "model.safetensors").items()}
    save_file(weights, theirs / "model.safetensors", {"format": "pt"})


def loss(capsys, place):
    query = f"SELECT value FROM benchmarks.results WHERE experiment = '{ENTROPY}' AND metric = 'bits_per_byte'"
    return json.loads(output_of(capsys, place, "sql", query, "--json"))[0]["value"]


@pytest.fixture(scope="module")
def losses():
    """The loss before a checkpoint was registered, once one is."""
    return []


@pytest.fixture
def registered(place, capsys, losses):
    """The small run with a checkpoint that was trained on the export of a selection; the loss that it had before.

    The first test that asks for it registers the checkpoint, and the others get a copy.
    """
    copy = place.folder.with_name("registered")
    if losses:
        shutil.rmtree(place.folder)
        shutil.copytree(copy, place.folder)
    else:
        losses.append(register(place, capsys))
        shutil.copytree(place.folder, copy)
    return losses[0]


def register(place, capsys):
    output_of(capsys, place, "export", ENTROPY, "--format", "trl", "--to", str(place.folder / "chosen"))
    card = (place.folder / "chosen" / "README.md").read_text()
    (selection,) = (line.split("|")[2].strip() for line in card.splitlines() if line.startswith("| selection hash |"))
    assert selection == version(place, "selection", ENTROPY)
    write_weights(place, 1.1)
    before = loss(capsys, place)
    change_profile(place, trained_elsewhere={ENTROPY: {"path": "theirs", "selection": selection}})
    assert due(capsys, place).keys() == {CHECKPOINT}
    assert refreshed(capsys, place) >= {CHECKPOINT, RESULT, "leaderboard", "verdict", "report"}
    return before


def test_it_is_evaluated_and_judged(place, capsys, registered):
    assert due(capsys, place) == {}
    assert loss(capsys, place) != registered
    verdicts = json.loads(output_of(capsys, place, "verdict", "--json"))
    (judged,) = (each for each in verdicts if (each["method"], each["measure"]) == ("entropy", "held_out_loss"))
    assert judged["arm_runs"] == 1
    manifest = read_manifest(place.home / "artifacts" / "checkpoint" / ENTROPY)
    assert manifest is not None
    assert manifest["trained_elsewhere"] == "folder theirs"


def test_what_is_not_known_of_it_is_said(place, capsys, registered):
    assert "  trained   elsewhere: folder theirs" in output_of(capsys, place, "lineage", ENTROPY)
    assert "trained on: not known: it was trained elsewhere (folder theirs)" in output_of(
        capsys, place, "verify", ENTROPY
    )
    costs = json.loads(output_of(capsys, place, "cost", "--json"))["arms"]
    training = {each["method"]: each.get("training") for each in costs}
    assert training["entropy"] is None
    assert training["random"]["cpu_seconds"] > 0
    # The columns take several blocks.
    lines = [
        each for each in output_of(capsys, place, "cost").splitlines() if each.startswith("entropy · tiny · lette")
    ]
    assert sum("not known" in line for line in lines) >= 1
    page = (place.home / "artifacts" / "report" / "index.html").read_text()
    assert (
        "Trained elsewhere, at a cost and with a recipe that are not known here: entropy · tiny · letters · 6" in page
    )
    output_of(capsys, place, "export", "--model", ENTROPY, "--to", str(place.folder / "model"))
    card = (place.folder / "model" / "README.md").read_text()
    assert "| trained | elsewhere, by a recipe that is not known here: folder theirs |" in card
    assert f"| hash | {version(place, 'selection', ENTROPY)} |" in card


def test_a_changed_folder_is_noticed(place, capsys, registered):
    weights = place.folder / "theirs" / "model.safetensors"
    os.utime(weights, (0, 0))
    (cause,) = due(capsys, place)[CHECKPOINT][1]
    assert cause.startswith("trained_elsewhere.path.model.safetensors ")
    # The same content, so nothing is evaluated again.
    assert refreshed(capsys, place) == {CHECKPOINT}
    write_weights(place, 1.2)
    assert refreshed(capsys, place) >= {CHECKPOINT, RESULT, *RESULT_REPORTS}


def test_it_is_trained_here_again_when_the_profile_says_so(place, capsys, registered):
    change_profile(place, trained_elsewhere={})
    text = place.profile.read_text()
    place.profile.write_text(text[: text.index("trained_elsewhere")])
    assert due(capsys, place).keys() == {CHECKPOINT}
    assert refreshed(capsys, place) >= {CHECKPOINT, RESULT}
    assert loss(capsys, place) == registered


def test_dropped_weights_are_taken_from_where_they_were(place, capsys, registered):
    before = version(place, "checkpoint", ENTROPY)
    change_profile(place, checkpoints={"keep": "none"})
    output_of(capsys, place, "clean")
    assert not list((place.home / "artifacts" / "checkpoint" / ENTROPY).glob("*.safetensors"))
    assert (place.folder / "theirs" / "model.safetensors").exists()
    output_of(capsys, place, "refresh", ENTROPY, "--rebuild")
    assert version(place, "checkpoint", ENTROPY) == before
    assert list((place.home / "artifacts" / "checkpoint" / ENTROPY).glob("*.safetensors"))


def test_one_that_was_trained_on_another_selection_is_refused(place, capsys):
    write_weights(place, 1.1)
    change_profile(place, trained_elsewhere={ENTROPY: {"path": "theirs", "selection": "6-abc"}})
    made = materializations(place)
    assert main(["--profile", str(place.profile), "refresh", ENTROPY]) == 1
    error = capsys.readouterr().err
    assert (
        f"trained_elsewhere.{ENTROPY}: it was trained on the selection 6-abc, but the experiment now selects 6-"
        in error
    )
    assert materializations(place) == made
