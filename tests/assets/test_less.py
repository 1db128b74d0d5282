"""LESS and its twin: a warm-up and a pass each, and one of both where the profile is the published way already."""

import pytest

from assets import build_assets
from assets.record.settings_used import declared
from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.profile import Profile, load_profile
from selection_platform.configuration.settings import PoolSizeStudySettings

PARTITION = "sharegpt-en/demo-3m"


def demo(training: dict[str, str], cut: str, *arms: str) -> Profile:
    profile = load_profile("demo")
    less = profile.less.model_copy(update={"training": profile.less.training.model_copy(update=training)})
    changes = {
        "arms": {name: ArmSettings(train=False) for name in arms},
        "less": less,
        "scoring": profile.scoring.model_copy(update={"cut": cut}),
        "pool_size_study": PoolSizeStudySettings(),
    }
    return profile.model_copy(update=changes)


def passes(profile: Profile) -> dict[str, dict[str, object]]:
    """What LESS's own assets use."""
    says = {key.to_user_string(): each for key, each in declared(build_assets(profile)).items()}
    return {name: says[name].content(PARTITION) for name in says if name.startswith(("warmup", "gradient"))}


def test_the_twin_warms_up_and_cuts_as_the_published_scripts_do():
    found = passes(demo({"answers": "all", "cut": "shared"}, "prompt_start", "less", "less.published"))
    assert found["warmup_checkpoint"].get("less.training.answers") is None
    assert found["warmup_checkpoint"]["less.training.cut"] == "shared"
    assert found["gradient_influence"]["scoring.cut"] == "prompt_start"
    assert found["gradient_influence"]["directions"] == ["adam"]
    twin = found["warmup_checkpoint.published"], found["gradient_influence.published"]
    assert twin[0]["less.training.answers"] == "last"
    assert "less.training.cut" not in twin[0]
    assert "scoring.cut" not in twin[1]
    assert twin[1]["directions"] == ["published"]


@pytest.mark.parametrize(
    ("arms", "directions"), [(["less"], ["adam"]), (["less", "less.published"], ["adam", "published"])]
)
def test_one_pass_gives_both_where_the_profile_is_the_published_way(arms: list[str], directions: list[str]):
    found = passes(demo({"answers": "last", "cut": "tail"}, "answer_end", *arms))
    assert found.keys() == {"warmup_checkpoint", "gradient_influence"}
    assert found["gradient_influence"]["directions"] == directions


def test_without_the_twin_there_is_no_pass_for_it():
    found = passes(demo({"answers": "all", "cut": "shared"}, "prompt_start", "less"))
    assert found.keys() == {"warmup_checkpoint", "gradient_influence"}
