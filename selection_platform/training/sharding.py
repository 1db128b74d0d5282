"""Full fine-tuning whose weights, gradients and optimiser state are split over the processes (torch's FSDP2).

Each process holds a part of every weight. A block's weights are gathered when it runs, and its gradients are averaged
in float32 and split as soon as they are there. Products are cast by autocast as in one process, so the losses are the
same but for last digits.

Each block is a group of FSDP, and so are the embedding and the final norm. A head that shares the embedding's matrix is
in the root's group, which stays gathered. A head of its own is in no group: `training.loss` gathers it in the numbers
that products have, and splits its gradient at once.
"""

import os
from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from selection_platform.errors import PlatformError
from selection_platform.job.processes import is_first, process_count
from selection_platform.models.head import output_head


def refuse_other_sharding() -> None:
    """Raise PlatformError if accelerate's own variables ask for FSDP.

    On CPUs accelerate ignores them without a word. On GPUs it would reduce gradients in bfloat16, and save tied weights
    twice.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1", "yes"):
        raise PlatformError(
            "ACCELERATE_USE_FSDP is set, and accelerate's sharding is not used here: it is ignored on CPUs and changes "
            "results on GPUs; unset it, and write `fine_tuning: {shard: true}` in the profile"
        )


def shard(model: PreTrainedModel) -> None:
    """Split a model in float32 over all processes, in place; each process has the whole model before."""
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (process_count(),))
    head, embedding = output_head(model), cast(nn.Embedding, model.get_input_embeddings())
    is_tied = head.weight is embedding.weight
    blocks, decoder = _blocks(model), model.get_decoder()
    # The final norm last: until the next group is gathered, FSDP keeps the buffer of the one before.
    for part in (*blocks, *(child for child in decoder.children() if child is not blocks)):
        if any(True for _ in part.parameters()) and not (is_tied and part is embedding):
            fully_shard(part, mesh=mesh, reshard_after_forward=True)
    apart: set[nn.Parameter] = set()
    if not is_tied:
        for name, weight in list(head.named_parameters(recurse=False)):
            part = nn.Parameter(distribute_tensor(weight.detach(), mesh, [Shard(0)]))
            head.register_parameter(name, part)
            apart.add(part)
    fully_shard(model, mesh=mesh, ignored_params=apart)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has split the model."""
    return any(isinstance(weight, DTensor) for weight in model.parameters())


def whole(weight: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A weight with the parts of all processes, which all must call this; itself if it is not split.

    Args:
        weight: a weight, or a part of one.
        dtype: the number type to gather it in; its own if None.
    """
    weight = weight if dtype is None else weight.to(dtype)
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def averaged(gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """This process's part of the mean of all processes' gradients; the gradient itself if the weight is not split."""
    if not isinstance(weight, DTensor):
        return gradient
    summed = DTensor.from_local(gradient, weight.device_mesh, [Partial()], run_check=False)
    return summed.redistribute(placements=weight.placements) / weight.device_mesh.size()


def save(model: PreTrainedModel, folder: Path, dtype: torch.dtype) -> None:
    """Save a split model as one process would; every process must call this, and the first writes."""
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(model.config, dtype=dtype)
    plain.generation_config = model.generation_config
    plain.name_or_path = model.name_or_path
    stored = {name for name, _ in plain.named_parameters()} | {name for name, _ in plain.named_buffers()}
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        # One at a time, and each tied weight once.
        if name in stored:
            gathered = whole(tensor, dtype if tensor.is_floating_point() else None)
            if is_first():
                weights[name] = gathered.cpu()
    if is_first():
        plain.save_pretrained(folder, state_dict=weights)


def _blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's blocks: its first list of modules."""
    return next(module for module in model.get_decoder().modules() if isinstance(module, nn.ModuleList))
