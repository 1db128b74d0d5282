"""Weights and Adam's moments after each epoch of a training, as LESS needs them (arXiv 2402.04333, section 3)."""

from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from selection_platform.manifest import write_manifest
from selection_platform.models.loading import base_entry, save_tokenizer
from selection_platform.models.provenance import weights_hash

MOMENTS_FILE = "adam_moments.st"
"""Tensors `<parameter>.exp_avg` and `<parameter>.exp_avg_sq`, by the names that `named_parameters()` gives.

It is a safetensors file. Its name ends otherwise so that nobody takes it for weights.
"""


class EpochSnapshots(TrainerCallback):
    """Keeps a folder `epoch-1`, `epoch-2`, ... in the job's folder, each readable with `load_model`.

    Its manifest says `mean_learning_rate`, the mean over the epoch's steps, and `adam_steps`, the steps so far.

    Args:
        folder: the job's folder.
        base: the base model's folder.
    """

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        self.base = base

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write the snapshot of the epoch that has ended."""
        if not state.is_world_process_zero:
            return
        epoch = round(state.epoch or 0)
        folder = self.folder / f"epoch-{epoch}"
        model = cast(PreTrainedModel, kwargs["model"])
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        save_tokenizer(self.base, folder)
        save_file(_moments(model, kwargs["optimizer"]), folder / MOMENTS_FILE)
        rates = [entry["learning_rate"] for entry in state.log_history if epoch - 1 < entry.get("epoch", 0) <= epoch]
        manifest = {
            **base_entry(folder, self.base),
            "epoch": epoch,
            "mean_learning_rate": sum(rates) / len(rates),
            "adam_steps": state.global_step,
            "weights_hash": weights_hash(folder),
        }
        write_manifest(folder, manifest)


def epoch_folders(folder: Path) -> list[Path]:
    """The snapshots of a finished training, by epoch."""
    return sorted(folder.glob("epoch-*"), key=lambda path: int(path.name.split("-")[1]))


def _moments(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's moments of every trained parameter, by name, on the CPU.

    Raises:
        ValueError: the optimiser's state is spread over devices.
    """
    moments: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter not in optimizer.state:
            raise ValueError(f"no optimiser state for {name}: keep_epochs cannot be used with FSDP or DeepSpeed")
        for moment in ("exp_avg", "exp_avg_sq"):
            moments[f"{name}.{moment}"] = optimizer.state[parameter][moment].cpu().contiguous()
    return moments
