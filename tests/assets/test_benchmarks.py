"""What the benchmark results depend on in a profile."""

import yaml

from assets.benchmarks import _settings
from selection_platform.configuration.profile import read_profile, shipped_profiles


def test_the_content_of_a_file_of_ones_own_counts(tmp_path):
    content = yaml.safe_load(shipped_profiles()["demo"].read_text())
    content["evaluation"]["benchmarks"] = {"mine": {"file": "prompts.jsonl", "rule": "exact"}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    profile = read_profile(file)
    assert _settings(profile)["evaluation.files"] == {"mine": "missing"}
    seen = []
    for reference in ("Paris", "Rome"):
        # A relative path starts from the profile's folder.
        (tmp_path / "prompts.jsonl").write_text(f'{{"prompt": "p", "reference": "{reference}"}}\n')
        seen.append(_settings(profile)["evaluation.files"]["mine"])
    assert seen[0] != seen[1] != "missing"


def test_without_such_a_file_nothing_is_said_of_it():
    assert "evaluation.files" not in _settings(read_profile(shipped_profiles()["demo"]))
