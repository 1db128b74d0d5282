"""What the sensor sees of a source without reading it."""

import pytest

from orchestration import source_sensor
from selection_platform.configuration.pool_settings import FOLDER, SourceSettings


@pytest.mark.parametrize("source", [{"files": "chats"}, {"files": ["chats/a*"]}, {"hub": "chats"}])
def test_a_folder_is_seen_from_the_profile(tmp_path, source):
    (tmp_path / "chats").mkdir()
    (tmp_path / "chats" / "a.jsonl").write_text("{}")
    settings = SourceSettings.model_validate(source, context={FOLDER: tmp_path})
    before = source_sensor._state(settings)
    assert before.keys() == {"chats/a.jsonl"}
    (tmp_path / "chats" / "a.jsonl").write_text("{}\n")
    assert source_sensor._state(settings) != before
    (tmp_path / "chats" / "a.jsonl").rename(tmp_path / "chats" / "a2.jsonl")
    assert source_sensor._state(settings).keys() == {"chats/a2.jsonl"}


def test_a_hub_data_set_is_seen_by_its_commit(monkeypatch):
    monkeypatch.setattr(source_sensor, "hub_commit", lambda hub, revision: f"{hub} at {revision}")
    assert source_sensor._state(SourceSettings(hub="someone/chats", revision="v1")) == {"commit": "someone/chats at v1"}
