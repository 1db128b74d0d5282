"""No setting is forgotten: each one, changed by itself, changes what some asset says that it depends on."""

import json
from fnmatch import fnmatch
from functools import cache
from typing import Any

import dagster as dg
import pytest
import yaml
from pydantic import BaseModel

from assets import benchmarks, build_assets, reports
from assets.record.settings_used import Declared, declared, text_used
from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.base import SPEED, UPKEEP
from selection_platform.configuration.encoder_settings import EncoderSettings
from selection_platform.configuration.evaluation_settings import EvaluationSettings
from selection_platform.configuration.profile import Profile, load_profile, shipped_profiles
from selection_platform.configuration.target_settings import TargetSettings
from selection_platform.configuration.text_settings import PAPER, TextSettings
from selection_platform.experiments.methods import METHODS
from selection_platform.job.versions import VERSIONS
from tests.light_assets import light_assets

# A changed value need not be valid.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

NOTHING: frozenset[str] = frozenset()
OWN = {"mine": {"column": "quality"}, "judge": {"scores": __file__, "cost": {"gpu_seconds": 1}}}
"""Arms with scores of the user's own."""
DIVERSE_EVOL = {"scores/diverse_evol", "scores/diverse_evol.published"}
INFLUENCES = {"gradient_influence", "gradient_influence.published"}
SIMILARITIES = {"target_similarity", "target_similarity.whitened"}
WARM_UPS = {"warmup_checkpoint", "warmup_checkpoint.published"}
FORWARD_PASSES = {
    "answer_likelihood", "sample_embedding", "weighted_embedding", "prompt_effect", "target_embedding",
    "pre_experience_likelihood", "pre_experience_likelihood.published", *INFLUENCES, "rating_probability",
    *DIVERSE_EVOL,
}  # fmt: skip
FINE_TUNINGS = {"checkpoint", "pre_experience_checkpoint", *DIVERSE_EVOL}
ZIP = {"scores/zip", "scores/zip.published"}
BEST_OF_CLUSTERS = {f"scores/{name}" for name, method in METHODS.items() if method.best_of_clusters}
COVERAGE = {f"scores/{name}" for name, method in METHODS.items() if method.covers_by}
PICKED_ONE_BY_ONE = {f"scores/{name}" for name in ("less.round_robin", "facility_location", "embedding", "k_center")}
READERS = {
    "token_count", "answer_likelihood", "sample_embedding", "weighted_embedding", "prompt_effect", "target_embedding",
    "pre_experience_checkpoint", "pre_experience_likelihood", *WARM_UPS, *INFLUENCES, "rating_probability",
    "checkpoint", "benchmark_result", *DIVERSE_EVOL,
}  # fmt: skip
"""Who reads conversations in the text that the profile names. The published border is of the paper's text alone."""
NOTICED_BY = {
    # Speed: marked so in the settings, see `test_what_is_marked_as_speed_or_upkeep_is_what_no_asset_notices`.
    "scoring.tokens_per_batch": NOTHING,
    "scoring.logit_rows": NOTHING,
    "scoring.samples_per_shard": NOTHING,
    "encoder.tokens_per_batch": NOTHING,
    "encoder.samples_per_shard": NOTHING,
    "less.tokens_per_batch": NOTHING,
    "less.training.batch_per_device": NOTHING,
    "less.training.save_minutes": NOTHING,
    "less.training.save_steps": NOTHING,
    "less.training.gradient_checkpointing": NOTHING,
    "less.training.shard": NOTHING,
    "fine_tuning.batch_per_device": NOTHING,
    "fine_tuning.save_minutes": NOTHING,
    "fine_tuning.save_steps": NOTHING,
    "fine_tuning.gradient_checkpointing": NOTHING,
    "fine_tuning.shard": NOTHING,
    "evaluation.batch_size": NOTHING,
    "evaluation.vllm_memory": NOTHING,
    # What the platform does around the content: marked as upkeep.
    "name": NOTHING,  # names the home folder, and with it other partitions altogether
    "evaluation.vllm_python": NOTHING,  # its version counts
    "checkpoints.*": NOTHING,  # weights that are trained again come out the same
    "jobs.*": NOTHING,  # on several processes training differs in last digits, and its manifest says so
    "automation.*": NOTHING,  # when the daemon makes what is due
    "arms.base.seeds": NOTHING,  # refused by the profile: the base model is not trained
    # Content.
    "description": {"report"},
    "disclaimer": {"leaderboard", "report"},
    "dtype": {"benchmark_result", "base_model", *FORWARD_PASSES, *WARM_UPS, *FINE_TUNINGS},
    "pools.*.source.*": {"raw_pool"},
    "pools.*.on_bad_row": {"raw_pool", "pool"},
    "pools.*": {"pool"},
    # A model that only rates has a text of its own too.
    "models.demo-1m.text.*": {"rating_probability"},
    "models.demo-3m.text.*": READERS,
    "text.*": READERS,
    "models.*": {"base_model"},
    "scoring.max_length": FORWARD_PASSES,
    # Twins with a pass of their own cut as the published scripts do.
    "scoring.cut": {name for name in FORWARD_PASSES if not name.endswith(".published")},
    "zip.*": ZIP,
    "k_means.*": {"sample_cluster"},
    "coverage.*": COVERAGE,
    "facility_location.*": {"scores/facility_location"},
    "encoder.*": {"sentence_embedding", "target_sentence_embedding"},
    "arms.*.column": {"scores/mine"},
    "arms.*.scores": {"scores/judge"},
    "arms.mine.order": {"scores/mine"},
    "arms.judge.order": {"scores/judge"},
    "arms.*.cost.*": {"cost_ledger"},
    "less.targets": INFLUENCES | {"target_samples"},
    "less.target_samples": INFLUENCES | {"target_samples"},
    "less.seed": INFLUENCES | WARM_UPS | {"target_samples"},
    # The twin has those of the published script.
    "less.training.cut": {"warmup_checkpoint"},
    "less.training.answers": {"warmup_checkpoint"},
    "less.*": WARM_UPS,
    "pre_experience.clusters": {"prompt_cluster"},
    "pre_experience.seed": {"prompt_cluster", "pre_experience_checkpoint"},
    "pre_experience.*": {"pre_experience_checkpoint"},
    "selectit.*": {"scores/selectit", "scores/selectit.published", "proxy_card"},
    "diverse_evol.*": DIVERSE_EVOL,
    # The pre-experience has epochs of its own.
    "fine_tuning.epochs": FINE_TUNINGS - {"pre_experience_checkpoint"},
    # Held-out conversations are cut where those that are trained on are.
    "fine_tuning.max_length": {"benchmark_result", *FINE_TUNINGS},
    "fine_tuning.cut": FINE_TUNINGS - {"scores/diverse_evol.published"},
    "fine_tuning.*": FINE_TUNINGS,
    "trained_elsewhere.*": {"checkpoint"},
    "evaluation.*": {"benchmark_result"},
    "budgets": {*DIVERSE_EVOL, *ZIP, *BEST_OF_CLUSTERS, *COVERAGE, *SIMILARITIES, *PICKED_ONE_BY_ONE},
    "verdict.*": {"verdict", "report"},
}
"""Which assets notice that a setting changed, by the first pattern that fits its path. None may be missing."""

# Leaves that decide which partitions there are, and not what is in one. They show as missing and removed ones.
PARTITIONS = {
    "arms.*.seeds": "a seed is part of an experiment's key",
    "arms.*.train": "says whether an experiment has a checkpoint and results",
    "pool_size_study.*": "says which parts of pools there are, and which arms select from them",
    "models.*.fine_tune": "says whether a model has experiments; without, it only rates",
}


@cache
def demo():
    """The demo profile with every arm and with adapters, so that their settings are there too."""
    content = yaml.safe_load(shipped_profiles()["demo"].read_text())
    content["arms"] = {name: {} for name in METHODS} | content["arms"] | OWN
    content["fine_tuning"]["lora"] = {"rank": 4}
    elsewhere = {"hub": "me/tuned", "revision": "0123456", "selection": "6-abc"}
    content["trained_elsewhere"] = {"zip/sharegpt-en/demo-3m/32/s0": elsewhere}
    return Profile.model_validate({"name": "demo", **content})


def leaves(value, path=()):
    """The path of each value that holds no others."""
    if isinstance(value, ArmSettings) and value.own_summary is None:
        value = {name: getattr(value, name) for name in ("seeds", "train")}
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        # What gives an arm its scores is one of two.
        value = fields if not isinstance(value, ArmSettings) else {k: v for k, v in fields.items() if v is not None}
    if isinstance(value, dict) and value:
        return [leaf for name, inner in value.items() for leaf in leaves(inner, (*path, name))]
    return [path]


def changed(value, path) -> Any:
    """A copy with another value at the path; that it is a valid one does not matter to who compares."""
    if path:
        name, *rest = path
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: changed(getattr(value, name), rest)})
        return {**value, name: changed(value[name], rest)}
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        first = value[0]
        return value[:-1] if len(value) > 1 else (first, first + type(first)("1"))
    if isinstance(value, dict):
        return {"other": "other"}
    return f"{value or ''}other"


def matches(path, patterns):
    return any(fnmatch(".".join(path), pattern) for pattern in patterns)


def nodes(profile, build=light_assets) -> dict[tuple[dg.AssetKey, str | None], dict[str, Any]]:
    """What every partition of every asset uses."""
    assets = build(profile)
    says: dict[dg.AssetKey, Declared] = declared(assets)
    return {
        (key, partition): says[key].content(partition)
        for asset in assets
        for key in asset.keys
        for partition in (asset.partitions_def.get_partition_keys() if asset.partitions_def else [None])
    }


# `targets` is left out there, as it takes over from `less.targets`; below, a profile has it.
LEAVES = [path for path in leaves(demo()) if path != ("targets",)]


def pattern_of(path):
    """The first pattern that fits, if any."""
    return next((pattern for pattern in [*PARTITIONS, *NOTICED_BY] if matches(path, [pattern])), None)


FIRST = set({pattern_of(path): path for path in reversed(LEAVES)}.values())
"""The first leaf of each pattern, and the first of those that no pattern fits. To try all takes seconds."""
TRIES = [pytest.param(path, id=".".join(path), marks=() if path in FIRST else pytest.mark.slow) for path in LEAVES]


@pytest.fixture(scope="module")
def used():
    """The settings of each partition as the profile stands, from the definitions that Dagster has."""
    return nodes(demo(), build_assets)


def test_what_stands_in_for_the_definitions_says_what_they_say(used):
    assert nodes(demo()) == used


def test_the_profile_has_every_method_and_the_lists_name_leaves_that_exist():
    assert set(demo().arms) == {*METHODS, *OWN}
    for pattern in NOTICED_BY | PARTITIONS:
        assert any(matches(path, [pattern]) for path in LEAVES), pattern


@pytest.mark.parametrize("path", TRIES)
def test_a_changed_setting_is_noticed_by_the_assets_that_use_it_and_by_no_other(path, used):
    experiments = demo().experiments
    profile = changed(demo(), path)
    assert profile != demo()
    if matches(path, PARTITIONS) and not matches(path, ["arms.base.seeds"]):
        assert nodes(profile).keys() != used.keys()
        return
    now = nodes(profile)
    touched = {
        key.to_user_string()
        for (key, partition), settings in used.items()
        # Another budget makes other experiments.
        if partition in profile.experiments or partition not in experiments
        if now.get((key, partition), settings) != settings
    }
    pattern = next(pattern for pattern in NOTICED_BY if matches(path, [pattern]))
    assert touched == set(NOTICED_BY[pattern])


def with_arms(arms, **changes):
    """The demo profile with these arms alone, and without its study."""
    profile = load_profile("demo")
    study = type(profile.pool_size_study)()
    return profile.model_copy(update={"arms": arms, "pool_size_study": study, **changes})


def test_changed_targets_are_noticed_by_what_makes_them_alone():
    def used(**sets):
        targets = {name: TargetSettings.model_validate(values) for name, values in sets.items()}
        names = {"less.mine", "rds_plus.mine", "less", "rds_plus"}
        arms = {name: ArmSettings(train=False) for name in names}
        return nodes(with_arms(arms, targets=targets))

    one = used(default={"pool_samples": 3}, mine={"pool_samples": 3})
    other = used(default={"pool_samples": 3}, mine={"benchmarks": ["gsm8k"]})
    assert {node for node, settings in one.items() if other[node] != settings} == {
        (dg.AssetKey("target_samples"), f"{pool}/mine") for pool in ("instruct-mix", "sharegpt-en")
    }
    assert "less.targets" not in one[dg.AssetKey("gradient_influence.mine"), "sharegpt-en/demo-3m"]


def test_the_verdict_notices_when_it_looks():
    def used(**seeds):
        arms = {name: ArmSettings.model_validate({"seeds": seeds.get(name, [0])}) for name in ("random", "zip")}
        return nodes(with_arms(arms))

    few, more = used(zip={"max": 4}), used(zip={"max": 5})
    touched = {asset.to_user_string() for (asset, key), settings in few.items() if more[asset, key] != settings}
    assert touched == {"verdict"}
    assert all(few[dg.AssetKey(name), None]["rule of looks"] for name in touched | {"report"})
    # As in earlier versions where no seeds are added.
    verdict = dg.AssetKey("verdict"), None
    assert used()[verdict] == used(random=[0, 1])[verdict]
    assert not any(path.startswith(("arms.", "rule")) for path in used()[verdict])


@pytest.mark.slow
def test_the_proxy_card_notices_what_is_good_enough(monkeypatch):
    arms = {"less": ArmSettings(train=False)}
    before = nodes(with_arms(arms))
    monkeypatch.setattr(reports, "GOOD_ENOUGH", 0.9)
    now = nodes(with_arms(arms))
    assert {node for node in before if before[node] != now[node]} == {(dg.AssetKey("proxy_card"), None)}


@pytest.mark.parametrize("name", ["random", "grape"])
def test_what_draws_draws_for_every_seed_that_there_may_be(name):
    arms = {name: ArmSettings.model_validate({"seeds": {"first": 2, "max": 4}})}
    used = nodes(with_arms(arms))
    found = [settings for (asset, _), settings in used.items() if asset == dg.AssetKey(["scores", name])]
    assert found
    assert all(settings == {f"arms.{name}.seeds": [0, 1, 2, 3]} for settings in found)


def test_another_pooling_of_an_encoder_is_noticed_by_what_it_embeds(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "modules.json").write_text('[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Normalize"}]')
    pooling = tmp_path / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_mean_tokens": true}')
    profile = with_arms({"embedding": ArmSettings()}, encoder=EncoderSettings(path=str(tmp_path)))
    before = nodes(profile)
    pooling.write_text('{"pooling_mode_cls_token": true}')
    touched = {asset.to_user_string() for (asset, key), used in nodes(profile).items() if used != before[asset, key]}
    assert touched == {"sentence_embedding", "target_sentence_embedding"}


def marked(settings, mark, path=""):
    """The paths of the settings with a mark; below a part that has it, all."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if mark in field.metadata:
            yield f"{path}{name}.*" if isinstance(value, BaseModel) else f"{path}{name}"
        elif isinstance(value, BaseModel):
            yield from marked(value, mark, f"{path}{name}.")


def test_what_is_marked_as_speed_or_upkeep_is_what_no_asset_notices():
    unnoticed = {pattern for pattern, assets in NOTICED_BY.items() if not assets}
    assert {*marked(demo(), SPEED), *marked(demo(), UPKEEP)} == unnoticed - {"arms.base.seeds"}
    assert demo().fine_tuning.speed().keys() == {
        "batch_per_device",
        "save_minutes",
        "save_steps",
        "gradient_checkpointing",
        "shard",
    }
    assert not demo().fine_tuning.speed().keys() & demo().fine_tuning.content().keys()


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_every_partition_has_settings_that_come_back_from_json_as_they_were(name):
    profile = load_profile(name)
    for (key, partition), settings in nodes(profile).items():
        assert json.loads(json.dumps(settings)) == settings, (key, partition)


def test_an_asset_that_says_nothing_of_itself_is_noticed():
    @dg.asset
    def forgotten(): ...

    with pytest.raises(KeyError, match="forgotten"):
        declared([forgotten])


def test_a_raised_version_of_rendering_is_noticed_in_every_text_but_the_papers(monkeypatch):
    texts = [PAPER, TextSettings(), TextSettings(template="chatml"), TextSettings(template="paper", bos="always")]
    before = [text_used(text) for text in texts]
    monkeypatch.setitem(VERSIONS, "rendering", 99)
    assert [text_used(text) != used for text, used in zip(texts, before, strict=True)] == [False, True, True, True]


def test_a_raised_version_of_logits_is_noticed_in_half_precision_by_those_who_read_them(monkeypatch):
    readers = {
        "answer_likelihood", "pre_experience_likelihood", "pre_experience_likelihood.published", *INFLUENCES,
        "rating_probability", "benchmark_result", "rescored_likelihood",
    }  # fmt: skip
    # The same pass gives these.
    readers |= {"sample_embedding", "weighted_embedding", "prompt_effect"}
    for dtype, expected in (("float32", set[str]()), ("bfloat16", readers)):
        profile = demo().model_copy(update={"dtype": dtype})
        before = nodes(profile)
        with monkeypatch.context() as patch:
            patch.setitem(VERSIONS, "half_precision_logits", 99)
            after = nodes(profile)
        assert {node[0].to_user_string() for node in before if before[node] != after[node]} == expected


@pytest.mark.parametrize(("held_out", "read"), [(0.0, False), (0.1, True)])
def test_written_answers_alone_do_not_depend_on_how_logits_are_computed(held_out, read):
    profile = demo()
    pools = {name: pool.model_copy(update={"held_out": held_out}) for name, pool in profile.pools.items()}
    evaluation = EvaluationSettings.model_validate({"benchmarks": {"gsm8k": {"task": "offline_gsm8k"}}})
    changes = {"dtype": "bfloat16", "pools": pools, "evaluation": evaluation}
    used = benchmarks._settings(profile.model_copy(update=changes))
    assert ("half_precision_logits" in used) == read
