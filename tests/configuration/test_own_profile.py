"""The profile that people copy, `docs/own_profile.yaml`: it is read as it stands, and what it asks for can be made."""

import json
from pathlib import Path

import pytest
from transformers import LlamaConfig

from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE, homes, load_profile
from selection_platform.errors import PlatformError
from tests.small_run import conversations
from tests.tiny import SIZES, save_model

FILE = Path(__file__).parents[2] / "docs" / "own_profile.yaml"
SMALLER = {"budgets: [500]": "budgets: [20]", "limit: 50, max_new_tokens: 256": "limit: 1, max_new_tokens: 4"}


def test_it_is_read_as_it_stands():
    profile = load_profile(str(FILE))
    assert list(profile.arms) == ["base", "random", "token_length", "ifd", "zip"]
    assert len(profile.trained_experiments) == 7


@pytest.mark.data
@pytest.mark.slow
def test_it_runs_on_a_file_and_a_model_of_ones_own(tmp_path, monkeypatch, capsys):
    text = FILE.read_text(encoding="utf-8")
    for large, small in SMALLER.items():
        assert large in text
        text = text.replace(large, small)
    (tmp_path / "mine.yaml").write_text(text)
    rows = [json.dumps({"messages": row}) for row in conversations(60, seed=0)]
    (tmp_path / "chats.jsonl").write_text("\n".join(rows))
    save_model(tmp_path / "model", LlamaConfig(**{**SIZES, "max_position_embeddings": 1024}))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(PROFILE_VARIABLE, "")
    assert main(["--profile", str(tmp_path / "mine.yaml"), "run"]) == 0
    assert "Held-out loss" in capsys.readouterr().out


def test_a_home_is_no_address(monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, "s3://bucket/home")
    message = (
        "^SELECTION_PLATFORM_HOME: s3://bucket/home is an address; name a folder, as a home needs locks and renames$"
    )
    with pytest.raises(PlatformError, match=message):
        homes()
