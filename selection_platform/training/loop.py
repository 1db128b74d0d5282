"""One resumable training run, through `transformers.Trainer`.

Trainer has gradient accumulation, schedules, mixed precision, data parallelism and, through accelerate, DeepSpeed. This
module adds an order of rows that survives a restart, a loss that fits, a model that is split over processes, and
checkpoints that count only when complete.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import torch
from accelerate import PartialState
from accelerate.utils import AutocastKwargs
from peft import PeftModel
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from selection_platform.configuration.settings import NO_TORCHAO, Optimizer
from selection_platform.errors import NotFinite, PlatformError
from selection_platform.job.compute import cost_of_pairs
from selection_platform.job.folder import whole_file
from selection_platform.job.processes import PATIENCE, gathered, is_first, process_count
from selection_platform.job.progress import Progress, progress
from selection_platform.models.loading import sort_adapter_config, try_saving
from selection_platform.models.packed_attention import packed_attention, why_not_packed
from selection_platform.models.provenance import peak_memory_bytes
from selection_platform.training.batches import Row, RowDataset, collate, pack
from selection_platform.training.checkpoints import (
    CHECKPOINTS,
    check_room,
    has_state,
    last_whole_checkpoint,
    load_state,
    mark_whole,
    save_state,
    seconds_at,
)
from selection_platform.training.loss import has_own_loss, loss_in_parts, without_adapter
from selection_platform.training.order import EpochOrder, Packed, Padded
from selection_platform.training.sharding import is_sharded, refuse_other_sharding, save, shard

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]
"""The number type that training computes in."""

_OPTIMIZERS: dict[Optimizer, dict[str, str]] = {
    "adamw": {"optim": "adamw_torch_fused"},
    # torchao's (arXiv 2110.02861), with stochastic rounding.
    "adamw_8bit": {"optim": "adamw_torch_8bit", "optim_args": "bf16_stochastic_round=True"},
}
_SCHEDULE = "scheduler.pt"


@dataclass(frozen=True)
class Outcome:
    """The result of a training run.

    Attributes:
        steps: number of optimiser steps.
        final_loss: mean loss in nats per target token over the last tenth of the steps.
        seconds: wall time of the steps that led to the result, over all restarts.
        peak_memory_bytes: see `peak_memory_bytes`; since the last start.
        packed: whether rows lay end to end in batches, and were not padded.
    """

    steps: int
    final_loss: float
    seconds: float
    peak_memory_bytes: int
    packed: bool


def training_arguments(
    folder: Path,
    *,
    global_batch: int,
    batch_per_device: int,
    seed: int,
    save_steps: int | None,
    precision: Precision,
    optimizer: Optimizer = "adamw",
    **recipe: Any,
) -> TrainingArguments:
    """Trainer's arguments, with the settings that all trainings of the platform share.

    Args:
        folder: the job's folder; checkpoints go below it.
        global_batch: rows per optimiser step, over all devices and accumulated micro-batches.
        batch_per_device: how many of the longest rows a micro-batch can have; of shorter ones more, where rows are
            packed or devices share them.
        seed: seed of the order of rows and of dropout.
        save_steps: optimiser steps between checkpoints; None where `train` saves by time.
        precision: the number type of products; the weights that AdamW updates are float32.
        optimizer: AdamW, or the one with moments in 8 bits, for weights in bfloat16.
        recipe: learning rate, schedule and length, by Trainer's names.

    Raises:
        PlatformError: the global batch is not a multiple of the micro-batches of all devices, the environment asks
            for another sharding, or the optimiser is not installed.
    """
    refuse_other_sharding()
    if optimizer == "adamw_8bit" and find_spec("torchao") is None:
        raise PlatformError(NO_TORCHAO)
    devices = process_count()
    # Trainer counts the global batch in such parts.
    if global_batch % (batch_per_device * devices):
        raise PlatformError(
            f"global_batch {global_batch} is not a multiple of batch_per_device {batch_per_device} x {devices} devices;"
            " change one of them"
        )
    arguments = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        per_device_train_batch_size=batch_per_device,
        gradient_accumulation_steps=global_batch // (batch_per_device * devices),
        seed=seed,
        bf16=precision == "bfloat16",
        # Without this, several CPU processes would each train separately.
        use_cpu=not torch.cuda.is_available(),
        **_OPTIMIZERS[optimizer],
        # This module saves. Zero steps mean that it does by time.
        save_strategy="no",
        save_steps=save_steps or 0,
        # While one process writes a checkpoint, the others wait. The launcher notices a dead process.
        ddp_timeout=int(PATIENCE.total_seconds()),
        logging_steps=1,
        # A NaN must be visible, and not averaged away.
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        # Every trained parameter is used in every step, and a search for unused ones would cost time.
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        **recipe,
    )
    # One process uses one GPU; otherwise Trainer would split each micro-batch over all visible GPUs (DataParallel).
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def train(
    model: PreTrainedModel,
    rows: Sequence[Row],
    arguments: TrainingArguments,
    *,
    label: str,
    callbacks: Sequence[TrainerCallback] = (),
    save_minutes: float | None = None,
    sharded: bool = False,
) -> Outcome:
    """Train `model` and save it, resuming from the last complete checkpoint of an earlier start.

    Weights (safetensors) and `train_log.jsonl`, with one line per optimiser step, go to the job's folder. The caller
    writes the manifest and then calls `remove_checkpoints`.

    Args:
        model: a model in float32, with an adapter, or for 8-bit AdamW in bfloat16; it is trained in place.
        rows: what to train on.
        arguments: from `training_arguments`.
        label: label of the progress.
        callbacks: callbacks in addition to the platform's own.
        save_minutes: minutes between checkpoints, unless `arguments` say how many steps.
        sharded: whether to split the model, all of which is trained, over the processes.

    Raises:
        UnsavableModel: the model could not be saved; no step was run.
        PlatformError: the disk has no space for checkpoints and weights; no step was run.
        NotFinite: the loss became infinite or not a number.
    """
    folder = Path(arguments.output_dir or "").parent
    packed = _packs(model)
    order = _order(model, rows, arguments, packed=packed)
    # What the data loader calls a row is a micro-batch here.
    arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = 1, order.rounds
    last = last_whole_checkpoint(folder)
    steps = (
        arguments.max_steps if arguments.max_steps > 0 else math.ceil(arguments.num_train_epochs * order.steps_in_epoch)
    )
    try_saving(model.name_or_path or folder, lambda scratch: model.save_pretrained(scratch, state_dict={}))
    saving = Saving(int(arguments.save_steps) or None, save_minutes)
    check_room(folder, model, saves=saving.most(int(steps)), resumed=last is not None)
    if sharded:
        if last is not None and not has_state(last):
            raise PlatformError(
                f"{last}: version 0.1.0 wrote this checkpoint, from which a split training cannot go on; go on without "
                "`shard`, or delete the folder to start again"
            )
        shard(model)
    attention = packed_attention(without_adapter(model)) if packed else nullcontext()
    with progress(label, steps, "steps") as counter, loss_in_parts(model) as in_parts, attention, _compiled_on_gpu():
        follow = _Follow(order, counter, seconds_at(last), saving)
        trainer = _OrderedTrainer(
            model=model,
            args=arguments,
            train_dataset=RowDataset(rows),
            data_collator=lambda batches: pack(batches[0]) if packed else collate(batches[0], mask=not in_parts),
            callbacks=[follow, *callbacks],
        )
        trainer.order = order
        # Trainer then does not wrap the model, which places itself and averages its own gradients.
        trainer.is_distributed_loading_by_transformers = sharded
        # The removed callback writes to standard output, where a command's --json document goes.
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    _save_weights(trainer, folder)
    losses = _write_log(folder, trainer.state)
    tail = losses[-max(1, len(losses) // 10) :]
    return Outcome(trainer.state.global_step, sum(tail) / len(tail), follow.seconds(), peak_memory_bytes(), packed)


def _packs(model: PreTrainedModel) -> bool:
    """Whether rows are packed, which every process must do or none. If not, a line says why."""
    plain = without_adapter(model)
    reason = "its loss is its own" if has_own_loss(plain) else why_not_packed(plain)
    if (reasons := [each for each in gathered(reason) if each]) and is_first():
        logger.warning(
            "%s: %s is trained on padded batches, as rows cannot be packed: %s",
            model.name_or_path, type(plain).__name__, reasons[0],
        )  # fmt: skip
    return not reasons


def _order(model: PreTrainedModel, rows: Sequence[Row], arguments: TrainingArguments, *, packed: bool) -> EpochOrder:
    """The order of `rows`, with micro-batches of at most the tokens of so many of the longest as a device takes."""
    lengths = [len(row.ids) for row in rows]
    global_batch = arguments.train_batch_size * arguments.world_size * arguments.gradient_accumulation_steps
    most = arguments.train_batch_size * max(lengths)
    # A single device does not wait for others, and fewer rows at once need less padding.
    at_once = arguments.train_batch_size if arguments.world_size == 1 else None
    plan = Packed(most, cost_of_pairs(without_adapter(model))) if packed else Padded(most, at_once)
    epochs = arguments.num_train_epochs
    if arguments.max_steps > 0:
        epochs = arguments.max_steps * global_batch / len(rows)
    return EpochOrder(lengths, global_batch, arguments.seed, plan, arguments.world_size, math.ceil(epochs))


def _compiled_on_gpu() -> AbstractContextManager[None]:
    """On a CPU, torchao's optimiser takes longer to compile than a short training takes, and needs a C++ compiler."""
    return torch.compiler.set_stance("default" if torch.cuda.is_available() else "force_eager")


def _save_weights(trainer: Trainer, folder: Path) -> None:
    """Save full weights as bfloat16 if training ran in it, else float32; an adapter always as float32."""
    model = cast(PreTrainedModel, trainer.model)
    # Trainer turned the key-value cache off, which would make generation slow.
    model.config.use_cache = True
    if is_sharded(model):
        save(model, folder, torch.bfloat16 if trainer.args.bf16 else torch.float32)
        return
    if trainer.args.bf16 and not trainer.is_deepspeed_enabled and not isinstance(model, PeftModel):
        model.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    trainer.save_model(str(folder))
    if trainer.args.should_save:
        sort_adapter_config(folder)
    # Trainer's own arguments, pickled, and peft's model card.
    for unwanted in ("training_args.bin", "README.md"):
        (folder / unwanted).unlink(missing_ok=True)


def _write_log(folder: Path, state: TrainerState) -> list[float]:
    """Write one JSON line per optimiser step, including those before a restart, and return the losses."""
    steps = [entry for entry in state.log_history if "loss" in entry]
    if state.is_world_process_zero:
        with whole_file(folder / "train_log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(entry, sort_keys=True) + "\n" for entry in steps))
    return [entry["loss"] for entry in steps]


class _OrderedTrainer(Trainer):
    """Trainer with the platform's order of rows and checkpoints, which keeps no copies of weights in bfloat16."""

    order: EpochOrder

    def _build_accelerator_args(self, **kwargs: Any) -> dict[str, Any]:
        arguments = super()._build_accelerator_args(**kwargs)
        # Each weight is used once in a pass, so a cast of it would be kept for nothing.
        arguments["kwargs_handlers"].append(AutocastKwargs(cache_enabled=False))
        return arguments

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
        return self.order

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        if not is_sharded(model):
            super()._move_model_to_device(model, device)

    @contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        # Gradients are split after each micro-batch. Until the last one, they would be kept whole.
        yield

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the finished model. A checkpoint's weights are in its state."""
        if not _internal_call or self.is_deepspeed_enabled:
            super().save_model(output_dir, _internal_call)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            return super()._save_optimizer_and_scheduler(output_dir)
        save_state(Path(output_dir), cast(torch.nn.Module, self.model), self.optimizer)
        if self.args.should_save:
            torch.save(cast(Any, self.lr_scheduler).state_dict(), Path(output_dir) / _SCHEDULE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not has_state(Path(resume_from_checkpoint)):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not has_state(Path(checkpoint)):
            return super()._load_optimizer_and_scheduler(checkpoint)
        load_state(Path(checkpoint), cast(torch.nn.Module, self.model), self.optimizer)
        cast(Any, self.lr_scheduler).load_state_dict(torch.load(Path(checkpoint) / _SCHEDULE, weights_only=True))


@dataclass(frozen=True)
class Saving:
    """When checkpoints are written: after so many steps or, without those, minutes; never without either."""

    steps: int | None
    minutes: float | None

    def most(self, steps: int) -> int:
        """The most checkpoints that so many steps can have. After the last step comes none."""
        return (steps - 1) // (self.steps or 1) if self.steps or self.minutes else 0

    def is_due(self, step: int, seconds: float) -> bool:
        """Whether a checkpoint is due after a step, so many seconds after the one before."""
        if self.steps or self.minutes is None:
            return bool(self.steps) and step % cast(int, self.steps) == 0
        # The first process's clock decides for all, as each of them saves a part.
        return gathered(seconds >= 60 * self.minutes)[0]


class _Follow(TrainerCallback):
    """Keeps order, clock, progress and checkpoints in sync with the trainer."""

    def __init__(self, order: EpochOrder, counter: Progress, seconds_before: float, saving: Saving) -> None:
        self.order = order
        self.counter = counter
        self.seconds_before = seconds_before
        self.saving = saving
        self.start = self.saved = time.monotonic()

    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.start

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.start = self.saved = time.monotonic()
        self.counter.advance(state.global_step)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Not through set_epoch: with several devices a resumed data loader hides the sampler one wrapper too deep.
        self.order.epoch = state.global_step // self.order.steps_in_epoch

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.counter.advance()
        # A checkpoint of the finished model, three times its size, would only be deleted.
        if state.global_step < state.max_steps:
            control.should_save = self.saving.is_due(state.global_step, time.monotonic() - self.saved)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise NotFinite(f"the loss is {loss} at step {state.global_step}; lower learning_rate")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # Each process saves a part, so the checkpoint is complete when all have finished.
        PartialState().wait_for_everyone()
        self.saved = time.monotonic()
        if not state.is_world_process_zero:
            return
        mark_whole(Path(args.output_dir or "") / f"checkpoint-{state.global_step}", self.seconds())
