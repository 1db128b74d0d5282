"""What `status` prints: like causes together, and an exit status for scripts."""

import pytest
import yaml

from selection_platform.cli.due_table import summed
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE
from tests.small_run import PROFILE


def test_inputs_that_changed_alike_are_counted():
    causes = [*(f"selection ifd/p/m/6/s{seed} changed, 3 of 6 ids" for seed in range(40)), "code version 1 -> 2"]
    assert summed(causes) == ["40 of selection changed", "code version 1 -> 2"]
    assert summed(["scores/ifd p/m is new", "scores/ifd q/m is new"]) == ["2 of scores/ifd are new"]
    assert summed(["pool p changed"]) == ["pool p changed"]
    assert summed(list("abcd")) == list("abcd")
    assert summed(list("abcde")) == ["a", "b", "c", "2 more causes (--json has all)"]


@pytest.fixture
def nothing_made(tmp_path, monkeypatch):
    (tmp_path / "letters.jsonl").write_text('{"messages": []}')
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(PROFILE))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "own.yaml"))


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_made")
def test_the_exit_status_says_whether_something_is_due_where_it_is_asked_for(capsys):
    assert main(["status"]) == 0
    text = capsys.readouterr().out
    assert main(["status", "--exit-code"]) == 3
    assert capsys.readouterr().out == text
    assert "31 of 31 partitions of profile own are due" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_made")
def test_experiments_with_their_state(capsys):
    assert main(["experiments"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["base/tiny", "missing", "missing", "missing"] in lines
    assert ["entropy/letters/tiny/6/s0", "missing", "missing", "missing"] in lines
    assert lines[-1][:3] == ["0", "of", "5"]
