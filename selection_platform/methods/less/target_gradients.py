"""LESS's targets: for each target group, the mean of its samples' normalised gradients, as one vector.

The mean of a sample's cosines with a group's gradients is its dot product with that vector. So only one vector per
group is kept, and there is no matrix of pool x targets (arXiv 2402.04333 has one).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from selection_platform.errors import NotFinite, PlatformError
from selection_platform.features.token_plan import TokenPlan, make_plan
from selection_platform.job.folder import whole_file
from selection_platform.job.processes import first_process_first
from selection_platform.methods.less.sample_gradients import SampleGradients, single_gradients
from selection_platform.models.forward_pass import batches
from selection_platform.text.cuts import ScoringCut
from selection_platform.text.renderer import Renderer


@dataclass(frozen=True)
class Targets:
    """The distinct target samples and their groups.

    Attributes:
        groups: names, in alphabetical order.
        plan: the samples and their tokens.
        share: float32, samples x groups: 1 / size of the group if the sample is in it, else 0. Only samples with an
            answer token in the window count.
        dropped: number of samples without such a token.
    """

    groups: list[str]
    plan: TokenPlan
    share: np.ndarray
    dropped: int


def read_targets(targets_file: Path, renderer: Renderer, max_length: int, cut: ScoringCut, folder: Path) -> Targets:
    """Read and tokenise target samples; a sample may be in several groups.

    Args:
        targets_file: Parquet with `sample_id`, `messages` and `target` (string, the group).
        renderer: the model's renderer.
        max_length: as in `make_plan`.
        cut: as in `make_plan`.
        folder: folder of this job for the files of tokens.

    Raises:
        PlatformError: there are no samples, one has no group, or a group has no sample with an answer in the window.
    """
    table = pq.read_table(targets_file, columns=["sample_id", "messages", "target"])
    if table["target"].null_count:
        raise PlatformError(f"{targets_file}: a row has no target; name the group of each row")
    plan = _plan(table, renderer, max_length, cut, folder)
    groups = sorted(set(table["target"].to_pylist()))
    position = {name: index for index, name in enumerate(plan.sample_id.to_pylist())}
    member = np.zeros((len(plan.sample_id), len(groups)), dtype=np.float32)
    for name, group in zip(table["sample_id"].to_pylist(), table["target"].to_pylist(), strict=True):
        member[position[name], groups.index(group)] = 1
    unscored = plan.answer_tokens == 0
    member[unscored] = 0
    size = member.sum(axis=0)
    if not size.all():
        raise PlatformError(
            f"{targets_file}: no sample of target {groups[int(size.argmin())]!r} has an answer token within "
            f"scoring.max_length {max_length}; raise it in the profile, or leave the target out"
        )
    return Targets(groups, plan, member / size, int(unscored.sum()))


def _plan(table: pa.Table, renderer: Renderer, max_length: int, cut: ScoringCut, folder: Path) -> TokenPlan:
    """The plan of the table's distinct samples."""
    names = table["sample_id"].to_pylist()
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    samples_file = folder / "samples.parquet"
    with first_process_first(), whole_file(samples_file) as temporary:
        pq.write_table(table.select(["sample_id", "messages"]).take(sorted(first.values())), temporary)
    return make_plan(samples_file, renderer, max_length, cut, folder, with_end=True)


def target_vectors(
    gradients: SampleGradients, targets: Targets, tokens_per_batch: int, model_name: str
) -> dict[str, torch.Tensor]:
    """For each layer, the groups' vectors: groups x elements of the weight, float32, on the model's device.

    A zero gradient has no direction and adds nothing to its group's mean.

    There are two passes, because a gradient's norm is only known at the end of a backward pass, and gradients are not
    kept.

    Raises:
        NotFinite: the model gives NaN or infinity for a sample, which the message names.
    """
    device = gradients.model.device
    plan = targets.plan
    vectors = {
        name: torch.zeros(len(targets.groups), layer.weight.numel(), device=device)
        for name, layer in gradients.layers.items()
    }
    lengths = np.where(plan.answer_tokens > 0, plan.joint_lengths, 0)
    for indices in batches(lengths, tokens_per_batch):
        rows = [plan.joint(index) for index in indices]
        norms = _norms(gradients, rows, plan.prompt_tokens[indices])
        broken = np.flatnonzero(~np.isfinite(norms))
        if broken.size:
            name = plan.sample_id[int(indices[broken[0]])].as_py()
            raise NotFinite(f"{model_name} gives NaN or infinity for target sample {name}; check the weights")
        inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
        weight = (targets.share[indices] * inverse[:, None]).astype(np.float32)
        _add(gradients, rows, plan.prompt_tokens[indices], torch.from_numpy(weight).to(device), vectors)
    return vectors


def _norms(gradients: SampleGradients, rows: list[np.ndarray], prompt_tokens: np.ndarray) -> np.ndarray:
    """L2 norm of each sample's gradient over all layers, float64."""
    squares = torch.zeros(len(rows), dtype=torch.float64, device=gradients.model.device)

    def receive(_: str, inputs: torch.Tensor, output_gradients: torch.Tensor) -> None:
        for part, gradient in single_gradients(inputs, output_gradients):
            squares[part] += torch.linalg.vector_norm(gradient, dim=1).double().square()

    gradients.run(rows, prompt_tokens, receive)
    return squares.sqrt().cpu().numpy()


def _add(
    gradients: SampleGradients,
    rows: list[np.ndarray],
    prompt_tokens: np.ndarray,
    weight: torch.Tensor,
    vectors: dict[str, torch.Tensor],
) -> None:
    """Add each sample's gradient, times its weight in each group (samples x groups), to the groups' vectors."""

    def receive(name: str, inputs: torch.Tensor, output_gradients: torch.Tensor) -> None:
        for part, gradient in single_gradients(inputs, output_gradients):
            vectors[name].addmm_(weight[part].T, gradient)

    gradients.run(rows, prompt_tokens, receive)
