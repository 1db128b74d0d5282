"""Adapter and Adam's moments after each epoch of a training, as LESS needs them (arXiv 2402.04333)."""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from selection_platform.errors import PlatformError
from selection_platform.job.folder import MANIFEST, file_hash, read_manifest, write_manifest
from selection_platform.job.integrity import check_files
from selection_platform.models.loading import base_entry, save_tokenizer, sort_adapter_config
from selection_platform.models.provenance import weights_hash

MOMENTS_FILE = "adam_moments.st"
"""File with tensors `<parameter>.exp_avg` and `<parameter>.exp_avg_sq`, with the names of `named_parameters()`.

It is a safetensors file, with another ending so that it is not mistaken for weights.
"""


@dataclass(frozen=True)
class EpochSnapshot:
    """The state of a training at the end of an epoch.

    Attributes:
        folder: has the adapter, readable with `load_model`, and `MOMENTS_FILE`.
        epoch: number of the epoch, from 1.
        mean_learning_rate: mean over the epoch's steps.
        adam_steps: optimiser steps since the start of the training.
        betas: Adam's decay rates of the first and second moment.
        eps: Adam's epsilon.
        content: hashes of adapter and moments.
    """

    folder: Path
    epoch: int
    mean_learning_rate: float
    adam_steps: int
    betas: tuple[float, float]
    eps: float
    content: tuple[str, str]


def epoch_snapshots(folder: Path) -> list[EpochSnapshot]:
    """The snapshots of a finished training, by epoch.

    Raises:
        PlatformError: the training is not finished, or has no snapshots.
        ChangedFile: its files are not what was written.
    """
    if not (folder / MANIFEST).exists():
        raise PlatformError(f"{folder}: no finished training; run fine_tune on it")
    check_files(folder)
    manifests = [(path.parent, read_manifest(path.parent) or {}) for path in folder.glob(f"epoch-*/{MANIFEST}")]
    if not manifests:
        raise PlatformError(f"{folder}: the training kept no epochs; train it with keep_epochs=True")
    snapshots = [
        EpochSnapshot(
            folder=path,
            epoch=manifest["epoch"],
            mean_learning_rate=manifest["mean_learning_rate"],
            adam_steps=manifest["adam_steps"],
            betas=cast(tuple[float, float], tuple(manifest["adam_betas"])),
            eps=manifest["adam_eps"],
            content=(manifest["weights_hash"], manifest["moments_hash"]),
        )
        for path, manifest in manifests
    ]
    return sorted(snapshots, key=lambda snapshot: snapshot.epoch)


class EpochSnapshots(TrainerCallback):
    """Keeps a folder `epoch-1`, `epoch-2`, ... in the job's folder, its manifest last.

    A snapshot is written before the checkpoint of the same step. So a training that resumes from a checkpoint has all
    earlier snapshots, and writes the later ones again.

    Args:
        folder: the job's folder.
        base: the base model's folder.
        chat_template: saved with the tokenizer.
    """

    def __init__(self, folder: Path, base: Path, chat_template: str) -> None:
        self.folder = folder
        self.base = base
        self.chat_template = chat_template
        self._rate = 0.0

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the step's learning rate, which the log has only after the step."""
        self._rate = float(kwargs["optimizer"].param_groups[0]["lr"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write a snapshot after the last step of an epoch."""
        steps_in_epoch = round(state.max_steps / args.num_train_epochs)
        if state.global_step % steps_in_epoch == 0 and state.is_world_process_zero:
            first = state.global_step - steps_in_epoch
            rates = [entry["learning_rate"] for entry in state.log_history if entry["step"] > first]
            self._write(state.global_step // steps_in_epoch, [*rates, self._rate], state.global_step, **kwargs)

    def _write(
        self, epoch: int, rates: list[float], steps: int, model: PreTrainedModel, optimizer: Any, **_: Any
    ) -> None:
        """Write the epoch's snapshot, replacing one of an earlier start."""
        folder = self.folder / f"epoch-{epoch}"
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        moments = _moments(model, optimizer)
        model.save_pretrained(folder)
        sort_adapter_config(folder)
        (folder / "README.md").unlink(missing_ok=True)
        save_tokenizer(self.base, folder, self.chat_template)
        save_file(moments, folder / MOMENTS_FILE)
        group = optimizer.param_groups[0]
        manifest = {
            **base_entry(folder, self.base),
            "epoch": epoch,
            "mean_learning_rate": sum(rates) / len(rates),
            "adam_steps": steps,
            "adam_betas": list(group["betas"]),
            "adam_eps": group["eps"],
            "weights_hash": weights_hash(folder),
            "moments_hash": file_hash(folder / MOMENTS_FILE),
        }
        write_manifest(folder, manifest)


@torch.no_grad()
def check_samples_apart(model: PeftModel) -> None:
    """Check, before training, that each trained layer gives the gradients of single samples.

    Args:
        model: a model with an adapter; it stays in evaluation mode.

    Raises:
        PlatformError: a layer is outside the decoder, sees the tokens of all samples together, as experts in a mixture
            do, or is used more than once in a pass.
    """
    rows = torch.ones(2, 3, dtype=torch.long, device=model.device)
    seen: dict[str, list[torch.Size]] = {}

    def note(name: str, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.setdefault(name, []).append(inputs[0].shape[:-1])

    trained = {
        name: module
        for name, module in model.named_modules()
        if any(weight.requires_grad for weight in module.parameters(recurse=False))
    }
    hooks = [module.register_forward_pre_hook(partial(note, name)) for name, module in trained.items()]
    # `forward` itself, because hooks would count arithmetic. Without dropout, so that no random numbers are drawn.
    cast(Any, model.eval().get_base_model()).get_decoder().forward(input_ids=rows, use_cache=False)
    for hook in hooks:
        hook.remove()
    for name in trained:
        if seen.get(name) != [rows.shape]:
            raise PlatformError(
                f"{name}: in a pass through the decoder this layer does not see each sample once and separately (the "
                "head is outside, and experts see the tokens of all samples together), so LESS cannot compare samples "
                "by it; remove it from `less: training: lora: target_modules`, or write auto"
            )


def _moments(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's moments of every trained parameter, by name, on the CPU.

    Raises:
        PlatformError: the optimiser's state is spread over devices.
    """
    moments: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter not in optimizer.state:
            raise PlatformError(f"no optimiser state for {name}: keep_epochs cannot be used with FSDP or DeepSpeed")
        for moment in ("exp_avg", "exp_avg_sq"):
            moments[f"{name}.{moment}"] = optimizer.state[parameter][moment].cpu().contiguous()
    return moments
