"""What does not fit, and the change that is proposed."""

import numpy as np
import pytest
import yaml

from selection_platform.configuration.profile import Profile, load_profile, shipped_profiles
from selection_platform.configuration.settings import FineTuningSettings, PretrainingSettings
from selection_platform.estimate.fit import Room, _smaller, messages, too_large
from selection_platform.estimate.lengths import Extra, Lengths
from selection_platform.estimate.memory import Place
from selection_platform.estimate.shape import shape_of_pretrained
from selection_platform.estimate.task import Known
from selection_platform.estimate.tasks import Tasks


def known_of(profile: Profile) -> Known:
    """What is known of a profile whose models are pre-trained, and whose texts have no tokens."""
    shapes = {
        name: shape_of_pretrained(model.pretraining) for name, model in profile.models.items() if model.pretraining
    }
    none = np.zeros(100, dtype=np.int64)
    return Known(
        shapes, shape_of_pretrained(PretrainingSettings(steps=1)), lambda *_: Lengths(none, none, ""), lambda _: None,
        lambda *_: None, lambda *_: none,
        lambda _: Extra(1, 1, ()), {},
    )  # fmt: skip


@pytest.mark.slow
def test_pre_training_is_named_as_such(tmp_path):
    profile = yaml.safe_load(shipped_profiles()["demo"].read_text())
    profile["models"]["demo-3m"]["pretraining"]["batch"] = 64
    (tmp_path / "large.yaml").write_text(yaml.safe_dump(profile))
    profile = load_profile(str(tmp_path / "large.yaml"))
    known = known_of(profile)
    place = Place(is_cpu=False, training="bfloat16")
    task = next(task for task in Tasks(profile, known, place).all() if task.partition == "demo-3m")
    room = Room(task.memory // 3, None, "A GPU")
    (message,) = messages(profile, known, place, room, too_large([task], room).values())
    assert message.startswith("models.demo-3m: pre-training (64 x 256 tokens at once): about ")
    assert "; `models: {demo-3m: {pretraining: {batch: 16}}}` needs about" in message


def test_a_sentence_encoder_that_does_not_fit():
    profile = load_profile("demo")
    place = Place(is_cpu=False, training="bfloat16")
    tasks = [task for task in Tasks(profile, known_of(profile), place).all() if task.stage == "sentence encoder"]
    assert {(task.asset, task.partition) for task in tasks} == {
        (asset, pool) for asset in ("sentence_embedding", "target_sentence_embedding") for pool in profile.pools
    }
    room = Room(tasks[0].memory // 2, None, "A GPU")
    (message,) = messages(profile, known_of(profile), place, room, too_large(tasks, room).values())
    assert message.startswith("encoder: sentence encoder (16,384 tokens at once): about ")
    assert "; `encoder: {tokens_per_batch: 4096}` needs about" in message


def test_an_evaluation_is_shared_unless_vllm_answers():
    profile = load_profile("demo")
    jobs = profile.jobs.model_copy(update={"run": "child", "processes": 4})
    for engine in ("transformers", "vllm"):
        evaluation = profile.evaluation.model_copy(update={"engine": engine})
        changed = profile.model_copy(update={"jobs": jobs, "evaluation": evaluation})
        tasks = Tasks(changed, known_of(profile), Place(is_cpu=False, training="bfloat16")).all()
        shared = {task.shared for task in tasks if task.asset == "benchmark_result"}
        assert shared == {engine == "transformers"}


@pytest.mark.parametrize(
    "given",
    [{}, {"shard": True}, {"optimizer": "adamw_8bit"}, {"lora": {"rank": 8}}, {"gradient_checkpointing": True}],
    ids=str,
)
@pytest.mark.parametrize("processes", [1, 4])
def test_what_is_proposed_can_be_written_so(given, processes):
    recipe = FineTuningSettings.model_validate(given)
    profile = load_profile("demo")
    jobs = profile.jobs.model_copy(update={"processes": processes})
    profile = profile.model_copy(update={"jobs": jobs, "dtype": "bfloat16"})
    proposed = list(_smaller(profile, recipe))
    assert len(proposed) >= 4
    for words, update in proposed:
        written = FineTuningSettings.model_validate({**given, **yaml.safe_load(f"{{{words}}}")})
        assert written == recipe.model_copy(update=update), words
