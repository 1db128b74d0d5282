"""Progress as lines: what is done, and the time left at the rate so far."""

import logging

import pytest

from selection_platform.job import progress as module
from selection_platform.job.progress import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_says_how_much_is_done_and_how_long_the_rest_takes(clock, caplog):
    caplog.set_level(logging.INFO, logger=module.__name__)
    with progress("scoring", 1000, "samples") as counter:
        clock[0] = 20
        counter.advance(100)
        clock[0] = 40
        counter.advance(900)
    assert caplog.messages == ["scoring: 100 of 1,000 samples, about 3 min left", "scoring: 1,000 of 1,000 samples"]
