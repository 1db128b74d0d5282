"""What the benchmark results depend on in a profile."""

import yaml

from assets.benchmarks import _settings, _version
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


def test_vllm_is_part_of_the_version_since_reports_name_it():
    plain = _version(["r", "i"], {})
    assert plain.value == "r-i"
    assert _version(["r", "i"], {"engine": "transformers 5.1"}) == plain
    assert _version(["r", "i"], {"engine": "vllm 0.32.0"}).value == "r-i-vllm 0.32.0"
