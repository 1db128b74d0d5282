"""A run that is told to end ends soon, and one that is killed at once; the next goes on to the same results."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assets.record.provenance import latest_provenance
from orchestration.materialize import open_instance
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE
from selection_platform.job.stopping import STOPPED
from tests.small_run import PROFILE, RANDOM, change_profile, refreshed, version

ENDED = 3


def start(place, home):
    return subprocess.Popen(
        [sys.executable, "-m", "selection_platform.cli.main", "--profile", str(place.profile), "run"],
        env={**os.environ, HOME_VARIABLE: str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told_to_end(process, steps, seconds):
    """The seconds that a run takes to end when told so some seconds after it began some steps; None where it was done.

    Raises:
        AssertionError: it ended otherwise than it should.
    """
    assert process.stdout is not None
    begun = 0
    while begun < steps and (line := process.stdout.readline()):
        begun += bool(re.match(r"\[\d+/\d+\]", line))
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    _, said = process.communicate(timeout=60)
    took = time.monotonic() - started
    if process.returncode == 0:
        return None
    # Killed by the signal itself before the command line was read.
    early = process.returncode == -signal.SIGTERM
    assert early or (process.returncode == 128 + signal.SIGTERM and said.endswith(f"{STOPPED}\n")), said
    assert took < 10
    return took


def killed(process, stage):
    """Kill a run half a second after it began a step: its folder is begun then, and not finished.

    Raises:
        AssertionError: it ended before.
    """
    assert process.stdout is not None
    with process:
        assert any(stage in line for line in process.stdout), f"the run ended before {stage}"
        time.sleep(0.5)
        process.kill()


def results(home: Path):
    """The version of each partition, but for what tells how long something took."""
    with open_instance(home) as instance:
        return {
            (key.to_user_string(), partition): provenance.data_version
            for key in instance.get_asset_keys()
            if key.to_user_string() not in ("cost_ledger", "report")
            for partition, provenance in latest_provenance(instance, key).items()
        }


@pytest.mark.slow
def test_a_run_that_is_ended_and_killed_again_and_again_ends_with_the_same_results(place, tmp_path):
    moments = random.Random(0)
    told_to_end(start(place, tmp_path), 1, moments.uniform(0, 2))
    for stage in ("answer_likelihood", f"checkpoint  {RANDOM[0]}", f"benchmark_result  {RANDOM[1]}"):
        killed(start(place, tmp_path), stage)
    for _ in range(ENDED):
        told_to_end(start(place, tmp_path), moments.randint(1, 3), moments.uniform(0, 2))
    process = start(place, tmp_path)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert results(tmp_path / "small") == results(place.home)


def test_an_interrupted_pretraining_leaves_the_old_model_to_the_old_profile(place, monkeypatch, capsys):
    from selection_platform.training import pretraining

    before, model = place.profile.read_text(), version(place, "base_model", "tiny")
    change_profile(place, models={"tiny": {"pretraining": {**PROFILE["models"]["tiny"]["pretraining"], "seed": 1}}})

    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    # It stays: nothing is trained from here on.
    monkeypatch.setattr(pretraining, "train", interrupted)
    assert main(["--profile", str(place.profile), "refresh", "base_model"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err.endswith(f"{STOPPED}\n")
    place.profile.write_text(before)
    assert refreshed(capsys, place) == {"base_model tiny"}
    assert version(place, "base_model", "tiny") == model
