"""Checkpoints that a training goes on from, whatever the number of processes that wrote them.

Weights and optimiser state are in torch's distributed format: each process writes what it holds, and reads what it
needs. A checkpoint counts once `WHOLE` is in its folder, which is written last.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file
from selection_platform.job.processes import process_count
from selection_platform.text.numbers import in_words
from selection_platform.training.sizes import ADAM

# One process needs none.
warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized", UserWarning)

CHECKPOINTS = "checkpoints"
"""Folder in a job's folder with optimiser states, removed when the job is finished."""

_STATE = "state"
_WHOLE = "whole.json"
_TRAINED = StateDictOptions(ignore_frozen_params=True, strict=False)


def save_state(checkpoint: Path, model: nn.Module, optimizer: Any) -> None:
    """Write trained weights and optimiser state; every process must call this."""
    alone = process_count() == 1
    save(_state(model, optimizer), checkpoint_id=checkpoint / _STATE, no_dist=alone)


def has_state(checkpoint: Path) -> bool:
    """Whether `save_state` wrote the checkpoint, and not Trainer, as in version 0.1.0."""
    return (checkpoint / _STATE).exists()


def load_state(checkpoint: Path, model: nn.Module, optimizer: Any) -> None:
    """Read what `save_state` wrote; every process must call this."""
    state = _state(model, optimizer)
    load(state, checkpoint_id=checkpoint / _STATE, no_dist=process_count() == 1)
    set_state_dict(
        model, _plain(optimizer), model_state_dict=state["model"], optim_state_dict=state["optimizer"], options=_TRAINED
    )


def _state(model: nn.Module, optimizer: Any) -> dict[str, Any]:
    weights, moments = get_state_dict(model, _plain(optimizer), options=_TRAINED)
    return {"model": weights, "optimizer": moments}


def _plain(optimizer: Any) -> Optimizer:
    """The optimiser in accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def mark_whole(checkpoint: Path, seconds: float) -> None:
    """Let a checkpoint count, and delete those before it.

    Args:
        checkpoint: its folder, where all files are.
        seconds: training time so far.
    """
    with whole_file(checkpoint / _WHOLE) as temporary:
        temporary.write_text(json.dumps({"seconds": seconds}))
    for other in checkpoint.parent.glob("checkpoint-*"):
        if other != checkpoint:
            shutil.rmtree(other)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in a job's folder, if any."""
    marked = [path.parent for path in folder.glob(f"{CHECKPOINTS}/checkpoint-*/{_WHOLE}")]
    return max(marked, key=lambda path: int(path.name.split("-")[1]), default=None)


def seconds_at(checkpoint: Path | None) -> float:
    """Training time in seconds up to a checkpoint."""
    return json.loads((checkpoint / _WHOLE).read_text())["seconds"] if checkpoint else 0.0


def remove_checkpoints(folder: Path) -> None:
    """Delete the optimiser states of a finished job."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def check_room(folder: Path, model: nn.Module, *, saves: int, resumed: bool) -> None:
    """Raise PlatformError if the disk has too little space for the training's files.

    A checkpoint has each trained parameter and Adam's two moments. A new one is written before the old one is deleted.
    The final weights take at least 2 bytes each.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    checkpoint = sum(
        sum(ADAM["bfloat16" if parameter.dtype is torch.bfloat16 else "float32"]) * parameter.numel()
        for parameter in trained
    )
    final = 2 * sum(parameter.numel() for parameter in trained)
    needed = max(checkpoint * min(saves, 2), checkpoint * min(saves, 1) + final) - checkpoint * resumed
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PlatformError(
            f"{folder}: {in_words(free)} are free on the disk, and the training's checkpoints and weights need "
            f"{in_words(needed)}; free some space (`selection-platform disk` lists what uses it)"
        )
