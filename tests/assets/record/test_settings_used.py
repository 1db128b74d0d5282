"""No setting is forgotten: each one, changed by itself, changes what some asset says that it depends on."""

import json
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from assets import build_assets
from assets.record.settings_used import settings_used
from selection_platform.configuration.profile import Profile, load_profile, shipped_profiles
from selection_platform.experiments.methods import METHODS

# A changed value need not be valid.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

# Leaves of a profile that no partition's content can depend on, and why.
WITHOUT_EFFECT = {
    "name": "names the home folder, and with it other partitions altogether",
    "checkpoints.*": "says whose weights stay after the evaluation; weights that are trained again come out the same",
    "jobs.*": "says where jobs run; on several processes training differs in last digits, and its manifest says so",
    "automation.*": "says when the daemon makes what is due, and what it leaves to the user; not what comes out",
    "arms.base.seeds": "is refused by the profile: the base model is not trained",
}
# Leaves that decide which partitions there are, and not what is in one. They show as missing and removed ones.
PARTITIONS = {
    "arms.*.seeds": "a seed is part of an experiment's key",
    "arms.*.train": "says whether an experiment has a checkpoint and results",
    "pool_size_study.*": "says which parts of pools there are, and which arms select from them",
    "models.*.fine_tune": "says whether a model has experiments; without, it only rates",
}


def demo():
    """The demo profile, which has every arm, with adapters, so that their settings are there too."""
    content = yaml.safe_load(shipped_profiles()["demo"].read_text())
    content["fine_tuning"]["lora"] = {"rank": 4}
    return Profile.model_validate({"name": "demo", **content})


def leaves(value, path=()):
    """The path of each value that holds no others."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
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


def nodes(profile):
    """Every partition of every asset."""
    return {
        (key, partition)
        for asset in build_assets(profile)
        for key in asset.keys
        for partition in (asset.partitions_def.get_partition_keys() if asset.partitions_def else [None])
    }


LEAVES = leaves(demo())


@pytest.fixture(scope="module")
def used():
    """The settings of each partition as the profile stands."""
    profile = demo()
    return {node: settings_used(profile, *node) for node in nodes(profile)}


def test_the_profile_has_every_method_and_the_lists_name_leaves_that_exist():
    assert set(demo().arms) == set(METHODS)
    for pattern in WITHOUT_EFFECT | PARTITIONS:
        assert any(matches(path, [pattern]) for path in LEAVES), pattern


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_changed_setting_is_noticed(path, used):
    experiments = demo().experiments
    profile = changed(demo(), path)
    assert profile != demo()
    if matches(path, PARTITIONS) and not matches(path, WITHOUT_EFFECT):
        assert nodes(profile) != used.keys()
        return
    touched = {
        key.to_user_string()
        for (key, partition), settings in used.items()
        # Another budget makes other experiments.
        if partition in profile.experiments or partition not in experiments
        if settings_used(profile, key, partition) != settings
    }
    assert bool(touched) != matches(path, WITHOUT_EFFECT), touched


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_every_partition_has_settings_that_come_back_from_json_as_they_were(name):
    profile = load_profile(name)
    for key, partition in nodes(profile):
        settings = settings_used(profile, key, partition)
        assert json.loads(json.dumps(settings)) == settings, (key, partition)
