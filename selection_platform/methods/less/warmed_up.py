"""The model at the end of a warm-up's epoch: the adapter on its base model, and Adam's moments."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import PreTrainedModel

from selection_platform.errors import PlatformError
from selection_platform.methods.less.adam_direction import Direction, Moments, prepare_moments
from selection_platform.methods.less.sample_gradients import SampleGradients
from selection_platform.models.forward_pass import check_model, check_sizes
from selection_platform.models.head import output_head
from selection_platform.models.loading import base_model_folder, load_model
from selection_platform.training.epoch_snapshots import MOMENTS_FILE, EpochSnapshot


@dataclass(frozen=True)
class WarmedUp:
    """The model and moments to measure influence with.

    Attributes:
        gradients: runs batches through the model.
        moments: Adam's state of each differentiated layer's weight, on the model's device.
    """

    gradients: SampleGradients
    moments: dict[str, Moments]


def load_warmed_up(
    snapshot: EpochSnapshot,
    directions: Collection[Direction],
    *,
    dtype: str,
    max_length: int,
    tokens_per_batch: int,
    logit_rows: int,
) -> WarmedUp:
    """Load a snapshot. The adapter is not merged, because gradients are with respect to its factors.

    The adapter has the base model's dtype, which mixed-precision training used for its products too.

    Args:
        snapshot: the snapshot of a warm-up's epoch.
        directions: the directions to prepare Adam's moments for.
        dtype: number type of weights and activations.
        max_length: most tokens of a sample.
        tokens_per_batch: most padded tokens of a pass.
        logit_rows: most rows of logits computed at once.

    Raises:
        UnsupportedModel: as `check_model` says.
        PlatformError: the sizes do not fit the model, or something other than linear layers of the decoder was trained.
    """
    base, _ = load_model(base_model_folder(snapshot.folder), dtype)
    check_sizes(base, max_length, tokens_per_batch)
    adapted = PeftModel.from_pretrained(base, str(snapshot.folder), autocast_adapter_dtype=False).eval()
    adapted.requires_grad_(False)
    model = cast(PreTrainedModel, adapted.get_base_model())
    check_model(model)
    states = load_file(snapshot.folder / MOMENTS_FILE)
    layers = _trained_layers(adapted, states, snapshot.folder)
    moments = {
        name: prepare_moments(
            states[f"{name}.weight.exp_avg"].to(model.device),
            states[f"{name}.weight.exp_avg_sq"].to(model.device),
            steps=snapshot.adam_steps,
            betas=snapshot.betas,
            eps=snapshot.eps,
            directions=directions,
        )
        for name in layers
    }
    return WarmedUp(SampleGradients(model, layers, logit_rows), moments)


def _trained_layers(adapted: PeftModel, states: Iterable[str], folder: Path) -> dict[str, torch.nn.Linear]:
    """The layers whose weights have Adam state, by name.

    Raises:
        PlatformError: there is state of something other than the weight of a linear layer in the decoder.
    """
    modules = dict(adapted.named_modules())
    head = set(output_head(cast(PreTrainedModel, adapted.get_base_model())).modules())
    layers: dict[str, torch.nn.Linear] = {}
    for parameter in sorted({state.rpartition(".")[0] for state in states}):
        name, _, kind = parameter.rpartition(".")
        module = modules.get(name)
        if kind != "weight" or not isinstance(module, torch.nn.Linear) or module in head:
            raise PlatformError(
                f"{folder}: {parameter} was trained; only adapters of the decoder's linear layers are supported"
            )
        layers[name] = module
    return layers
