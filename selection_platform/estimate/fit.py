"""What does not fit a machine's memory, and what to change in the profile so that it does."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from selection_platform.configuration.method_settings import LessSettings, WarmUpSettings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import FineTuningSettings, LoraSettings, PretrainingSettings
from selection_platform.estimate.memory import Place
from selection_platform.estimate.task import Known, Task
from selection_platform.estimate.tasks import Tasks

GB = 1e9


class Room(NamedTuple):
    """What there is for jobs.

    Attributes:
        device: bytes of one device, or of the host where that is a CPU.
        host: bytes of the host; None where it is not known.
        name: of the device, for messages.
    """

    device: int
    host: int | None
    name: str

    def of(self, task: Task) -> int | None:
        """What a task has, in bytes."""
        return self.host if task.on_host else self.device


def too_large(tasks: Iterable[Task], room: Room, share: float = 1.0) -> dict[tuple[str, str | None], Task]:
    """The largest task of each stage and model that has too little memory.

    Args:
        tasks: all of them.
        room: what there is.
        share: of its memory that a task must need at least; below 1, what may just fit is let through.
    """
    found: dict[tuple[str, str | None], Task] = {}
    for task in tasks:
        there = room.of(task)
        key = task.stage, task.model
        if (
            there is not None
            and share * task.memory > there
            and task.memory > (found[key].memory if key in found else 0)
        ):
            found[key] = task
    return found


def messages(profile: Profile, known: Known, place: Place, room: Room, tasks: Iterable[Task]) -> Iterator[str]:
    """What does not fit: model, stages, recipe, what they need, what there is, and what to change.

    Stages of one model that need the same are one message.
    """
    alike: dict[tuple[str | None, str, int], list[Task]] = {}
    for task in tasks:
        alike.setdefault((task.model, _recipe(profile, task), task.memory), []).append(task)
    for (model, recipe, needed), same in alike.items():
        there = room.of(same[0]) or 0
        where = "this machine" if same[0].on_host else room.name
        who = "encoder" if model is None else f"models.{model}"
        yield (
            f"{who}: {', '.join(task.stage for task in same)} ({recipe}): about {_gb(needed)} of memory are "
            f"needed, and {where} has {_gb(there)}; {_change(profile, known, place, room, same[0])}"
        )


def _recipe(profile: Profile, task: Task) -> str:
    recipe = task.recipe
    if recipe is not None:
        kind = f"LoRA of rank {recipe.lora.rank}" if recipe.lora else "full fine-tuning"
        return f"{kind} on {recipe.batch_per_device} x {recipe.max_length:,} tokens at once"
    pretraining = _pretraining_of(profile, task)
    if pretraining is not None:
        return f"{pretraining.batch} x {pretraining.block_length:,} tokens at once"
    if task.stage == "LESS: influence":
        return f"{profile.less.tokens_per_batch:,} tokens at once"
    if task.model is None:
        return f"{profile.encoder.tokens_per_batch:,} tokens at once"
    if task.on_host:
        return "all embeddings of the pool"
    if task.stage == "evaluation":
        return f"{profile.evaluation.batch_size} prompts at once"
    return f"{profile.scoring.tokens_per_batch:,} tokens at once"


def _pretraining_of(profile: Profile, task: Task) -> PretrainingSettings | None:
    return profile.models[task.model].pretraining if task.model and task.asset == "base_model" else None


def _change(profile: Profile, known: Known, place: Place, room: Room, task: Task) -> str:
    """The first change to the profile with which a task fits."""
    for words, changed in _changes(profile, task):
        fits = {each.partition: each for each in Tasks(changed, known, place).all() if each.asset == task.asset}
        now = fits.get(task.partition)
        there = room.of(task) or 0
        if now is not None and now.memory <= there:
            return f"{words} needs about {_gb(now.memory)}"
    return "nothing in the profile makes it fit: name a smaller model, or run it on a machine with more memory"


def _gb(size: float) -> str:
    return f"{size / GB:,.0f} GB" if size >= 9.5 * GB else f"{size / GB:,.1f} GB"


def _changes(profile: Profile, task: Task) -> Iterator[tuple[str, Profile]]:
    """Changes worth trying, the smallest first: how it is written in a profile, and the changed profile."""
    recipe = task.recipe
    pretraining = _pretraining_of(profile, task)
    if recipe is not None:
        yield from _of_recipe(profile, recipe)
    elif pretraining is not None and task.model:
        yield from _of_pretraining(profile, task.model, pretraining)
    elif task.model is None:
        yield from _of_encoder(profile)
    elif task.stage == "LESS: influence":
        least = profile.scoring.max_length
        less = profile.less.model_copy(update={"tokens_per_batch": least})
        yield f"`less: {{tokens_per_batch: {least}}}`", profile.model_copy(update={"less": less})
        yield from _shorter(profile)
    elif not task.on_host:
        size = profile.evaluation.batch_size
        while task.stage == "evaluation" and size > 1:
            size //= 2
            evaluation = profile.evaluation.model_copy(update={"batch_size": size})
            yield f"`evaluation: {{batch_size: {size}}}`", profile.model_copy(update={"evaluation": evaluation})
        tokens = profile.scoring.tokens_per_batch
        while tokens // 2 >= profile.scoring.max_length:
            tokens //= 2
            scoring = profile.scoring.model_copy(update={"tokens_per_batch": tokens})
            yield f"`scoring: {{tokens_per_batch: {tokens}}}`", profile.model_copy(update={"scoring": scoring})
        yield from _shorter(profile)


_CHECKPOINTING: tuple[str, dict[str, object]] = ("gradient_checkpointing: true", {"gradient_checkpointing": True})
_SMALL: tuple[str, dict[str, object]] = (
    f"{_CHECKPOINTING[0]}, batch_per_device: 1",
    {**_CHECKPOINTING[1], "batch_per_device": 1},
)
_ALSO: list[tuple[str, dict[str, object]]] = [
    ("", {}), *((f", {words}", update) for words, update in (_CHECKPOINTING, _SMALL)),
]  # fmt: skip
"""What a change can have beside it, as it is written behind it."""


def _of_recipe(profile: Profile, recipe: FineTuningSettings) -> Iterator[tuple[str, Profile]]:
    of_less = isinstance(recipe, WarmUpSettings)
    # As the profile has it: a task may train with a part of it changed.
    recipe = profile.less.training if of_less else profile.fine_tuning

    def changed(words: str, **update: object) -> tuple[str, Profile]:
        new = recipe.model_copy(update=update)
        if of_less:
            less: LessSettings = profile.less.model_copy(update={"training": new})
            return f"`less: {{training: {{{words}}}}}`", profile.model_copy(update={"less": less})
        return f"`fine_tuning: {{{words}}}`", profile.model_copy(update={"fine_tuning": new})

    for words, update in _smaller(profile, recipe):
        yield changed(words, **update)


def _smaller(profile: Profile, recipe: FineTuningSettings) -> Iterator[tuple[str, dict[str, object]]]:
    """Recipes that need less memory, as they are written and as they change the recipe, the nearest first."""
    if not recipe.gradient_checkpointing:
        yield _CHECKPOINTING
    if recipe.batch_per_device > 1:
        yield _SMALL
    said: str = ""
    adapter: dict[str, object] = {}
    if recipe.lora is None:
        one, plain = profile.jobs.processes == 1, recipe.optimizer == "adamw" and not recipe.shard
        if not one and plain:
            yield from ((f"shard: true{words}", {"shard": True, **update}) for words, update in _ALSO)
        if one and plain and profile.dtype == "bfloat16":
            yield from (
                (f"optimizer: adamw_8bit{words}", {"optimizer": "adamw_8bit", **update}) for words, update in _ALSO
            )
        before = "shard: false, " if recipe.shard else "optimizer: adamw, " if recipe.optimizer != "adamw" else ""
        said, adapter = f"{before}lora: {{rank: 16}}", {"lora": LoraSettings(), "shard": False, "optimizer": "adamw"}
        yield from ((f"{said}{words}", {**adapter, **update}) for words, update in _ALSO)
    length = recipe.max_length
    while length > 256:
        length //= 2
        words = f"{said}, {_SMALL[0]}" if said else _SMALL[0]
        yield f"{words}, max_length: {length}", {**adapter, **_SMALL[1], "max_length": length}


def _of_pretraining(profile: Profile, model: str, pretraining: PretrainingSettings) -> Iterator[tuple[str, Profile]]:
    batch = pretraining.batch
    while batch > 1:
        batch //= 2
        smaller = pretraining.model_copy(update={"batch": batch})
        models = profile.models | {model: profile.models[model].model_copy(update={"pretraining": smaller})}
        words = f"`models: {{{model}: {{pretraining: {{batch: {batch}}}}}}}`"
        yield words, profile.model_copy(update={"models": models})


def _of_encoder(profile: Profile) -> Iterator[tuple[str, Profile]]:
    tokens = profile.encoder.tokens_per_batch
    while tokens // 2 >= profile.encoder.max_length:
        tokens //= 2
        encoder = profile.encoder.model_copy(update={"tokens_per_batch": tokens})
        yield f"`encoder: {{tokens_per_batch: {tokens}}}`", profile.model_copy(update={"encoder": encoder})


def _shorter(profile: Profile) -> Iterator[tuple[str, Profile]]:
    length = profile.scoring.max_length
    while length > 256:
        length //= 2
        scoring = profile.scoring.model_copy(update={"max_length": length, "tokens_per_batch": length})
        less = profile.less.model_copy(update={"tokens_per_batch": length})
        words = f"`scoring: {{max_length: {length}, tokens_per_batch: {length}}}`"
        yield words, profile.model_copy(update={"scoring": scoring, "less": less})
