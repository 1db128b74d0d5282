"""What reads logits, in bfloat16: the other small profiles of the tests are in float32."""

import pytest
import yaml

from selection_platform.configuration.profile import HOME_VARIABLE
from tests.small_run import PROFILE, Place, conversations, materializations, output_of, write_pool

ARMS = {"base": {}, **{name: {"train": False} for name in ("ifd", "ifd.pre_experience", "selectit", "less")}}
READERS = [
    "answer_likelihood", "rescored_likelihood", "pre_experience_likelihood", "rating_probability", "gradient_influence",
]  # fmt: skip
EVALUATION = "benchmark_result"


@pytest.mark.slow
def test_what_reads_logits_runs_in_bfloat16(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    place = Place(tmp_path, tmp_path / "small.yaml", tmp_path / "letters.jsonl")
    write_pool(place, conversations(90, seed=0))
    small = {
        "pre_experience": {"clusters": 2, "samples_per_cluster": 3},
        "less": {"warmup_samples": 4, "target_samples": 2, "training": {"epochs": 2, "max_length": 128}},
        # The rating prompts take 136 tokens.
        "scoring": {**PROFILE["scoring"], "max_length": 200},
    }
    place.profile.write_text(yaml.safe_dump({**PROFILE, **small, "dtype": "bfloat16", "arms": ARMS}))
    output_of(capsys, place, "refresh", *READERS, EVALUATION)
    # The evaluation chooses an answer, and computes the held-out loss.
    wanted = {f"{name} letters/tiny" for name in READERS} | {f"{EVALUATION} base/tiny"}
    assert wanted <= materializations(place).keys()
