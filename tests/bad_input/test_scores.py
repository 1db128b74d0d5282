"""Scores that cannot be ranked by, methods that cannot be wrapped, and pools too small for what is asked of them."""

import dagster as dg
import pytest

from assets import build_assets
from assets.record.score_table import replace_scores
from resources import build_resources
from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.checks import check_pool_size
from selection_platform.configuration.profile import load_profile
from selection_platform.experiments.methods import METHODS, _best_of_clusters, _coverage
from selection_platform.pools.raw_pool import write_raw_pool
from tests.bad_input.pools import chat, lines

PARTITION: dict[str, str | None] = {"pool": "p", "model": "m"}
WRONG = "of these are NaN or infinite; check the features that the scores are computed from"
VALUES = [
    ("NaN", "('a', '1'), ('b', 'NaN')", f"scores.entropy of p: 2 samples have a score, and 1 {WRONG}"),
    ("infinity", "('a', 'inf'), ('b', 'NaN')", f"scores.entropy of p: 2 samples have a score, and 2 {WRONG}"),
    ("none", "('a', NULL)", f"scores.entropy of p: 0 samples have a score, and 0 {WRONG}"),
]


@pytest.fixture
def warehouse(tmp_path, new_warehouse):
    return new_warehouse(tmp_path / "home" / "warehouse")


def entropy(warehouse, likelihoods):
    """Scores of answers of one token: the negative log-likelihoods themselves."""
    rows = (
        "SELECT *, nll::DOUBLE AS answer_nll, CASE WHEN nll IS NULL THEN 0 ELSE 1 END AS answer_tokens, "
        f"false AS truncated FROM (VALUES {likelihoods}) AS rows(sample_id, nll)"
    )
    columns = f"SELECT * EXCLUDE (nll) FROM ({rows})"
    warehouse.replace("features.answer_likelihood", {**PARTITION, "reader": "base"}, columns)
    values = {**PARTITION, "published": False}
    return replace_scores(warehouse, METHODS["entropy"], PARTITION, "entropy", values)


@pytest.mark.parametrize(("likelihoods", "message"), [pytest.param(*case, id=id) for id, *case in VALUES])
def test_scores_that_cannot_be_ranked(warehouse, likelihoods, message):
    with pytest.raises(ValueError, match=message):
        entropy(warehouse, likelihoods)
    # Nothing of them is kept.
    assert warehouse.query("FROM scores.entropy").is_empty()


@pytest.mark.parametrize("name", ["random", "diverse_evol", "km_ifd", "all_data"])
def test_a_method_without_one_score_a_sample_is_not_wrapped(name):
    with pytest.raises(ValueError, match=f"km_{name}: '{name}' does not give each sample one score"):
        _best_of_clusters(METHODS[name])
    with pytest.raises(ValueError, match=f"coverage_{name}: '{name}' does not give each sample one score"):
        _coverage(METHODS[name])


ARMS = [
    ("budgets", "random", "budgets: 32 is above the 31 samples of pool 'p'; lower it, or enlarge the pool"),
    ("clusters", "km_ifd", "k_means.clusters: 8 is above the 7 samples of pool 'p'; lower it, or enlarge the pool"),
    ("prompts", "ifd.published", "pre_experience.clusters: 8 is above the 7 samples of pool 'p'; lower it"),
    ("ZIP", "zip.published", "zip.k1: 60 is above the 59 samples of pool 'p'; lower it, or enlarge the pool"),
]


@pytest.mark.parametrize(("arm", "message"), [pytest.param(*case, id=id) for id, *case in ARMS])
def test_a_pool_smaller_than_what_an_arm_takes(arm, message):
    samples = int(message.split("above the ")[1].split()[0])
    profile = load_profile("demo").model_copy(update={"arms": {"all_data": ArmSettings(), arm: ArmSettings()}})
    if samples < 32:
        profile = profile.model_copy(update={"budgets": (samples if arm != "random" else 32,)})
    with pytest.raises(ValueError, match=message):
        check_pool_size(profile, "p", samples)
    check_pool_size(profile, "p", samples + 1)
    # An arm that takes all there is asks for no size.
    check_pool_size(profile.model_copy(update={"arms": {"all_data": ArmSettings()}}), "p", 1)


def test_the_pool_asset_looks_at_its_size(tmp_path):
    rows, file = tmp_path / "rows.jsonl", tmp_path / "own.yaml"
    rows.write_bytes(lines(chat("a"), chat("b")))
    file.write_text(
        "{description: x, pools: {mine: {source: {files: rows.jsonl}, decontaminate: false}}, budgets: [3], arms: "
        "{random: }, "
        "models: {tiny: {pretraining: {steps: 1, context: 4096}}}, evaluation: {benchmarks: {}}}"
    )
    profile, resources = load_profile(str(file)), build_resources(tmp_path / "home")
    write_raw_pool(profile.pools["mine"], resources.artifacts.raw_pool("mine"))
    with pytest.raises(
        ValueError, match="budgets: 3 is above the 2 samples of pool 'mine'; lower it, or enlarge the pool"
    ):
        dg.materialize(build_assets(profile), selection=["pool"], partition_key="mine", resources=resources._asdict())
    assert not resources.warehouse.exists()
