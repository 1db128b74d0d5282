"""Influence of samples on target groups, batch by batch and epoch by epoch."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from selection_platform.errors import NotFinite
from selection_platform.features.token_plan import TokenPlan
from selection_platform.methods.less.adam_direction import Direction, update_direction
from selection_platform.methods.less.sample_gradients import single_gradients
from selection_platform.methods.less.target_gradients import Targets, target_vectors
from selection_platform.methods.less.warmed_up import WarmedUp
from selection_platform.training.epoch_snapshots import EpochSnapshot


class InfluencePasses:
    """Measures batches, with the model and the targets' vectors of one epoch at a time in memory.

    Args:
        load: loads an epoch's model.
        targets: what influence is measured on.
        directions: forms of Adam's direction.
        tokens_per_batch: most padded tokens of a pass over target samples.

    Attributes:
        load_seconds: wall time of loading models so far.
        target_seconds: wall time of the targets' vectors so far.
    """

    def __init__(
        self,
        load: Callable[[EpochSnapshot], WarmedUp],
        targets: Targets,
        directions: Sequence[Direction],
        tokens_per_batch: int,
    ) -> None:
        self.targets = targets
        self.load_seconds = 0.0
        self.target_seconds = 0.0
        self._load = load
        self._directions = directions
        self._tokens_per_batch = tokens_per_batch
        self._loaded: tuple[int, WarmedUp, dict[str, torch.Tensor]] | None = None

    def influence(self, snapshot: EpochSnapshot, shard: TokenPlan, indices: np.ndarray) -> np.ndarray:
        """`batch_influence` of samples of a shard, at an epoch: samples x directions x groups.

        Raises:
            NotFinite: a number is not finite.
        """
        _, model, vectors = self._at(snapshot)
        rows = [shard.joint(index) for index in indices]
        influence = batch_influence(model, vectors, self._directions, rows, shard.prompt_tokens[indices])
        broken = np.flatnonzero(~np.isfinite(influence).all(axis=(1, 2)))
        if broken.size:
            name = shard.sample_id[int(indices[broken[0]])].as_py()
            raise NotFinite(f"{snapshot.folder} gives NaN or infinity for sample {name}; check the weights")
        return influence

    def _at(self, snapshot: EpochSnapshot) -> tuple[int, WarmedUp, dict[str, torch.Tensor]]:
        """The epoch's model and targets' vectors, which replace those of another epoch."""
        if self._loaded is None or self._loaded[0] != snapshot.epoch:
            # Freed first, so that two models are never in memory.
            self._loaded = None
            started = time.monotonic()
            model = self._load(snapshot)
            loaded = time.monotonic()
            vectors = target_vectors(model.gradients, self.targets, self._tokens_per_batch, str(snapshot.folder))
            self.load_seconds += loaded - started
            self.target_seconds += time.monotonic() - loaded
            self._loaded = snapshot.epoch, model, vectors
        return self._loaded


def batch_influence(
    model: WarmedUp,
    vectors: Mapping[str, torch.Tensor],
    directions: Sequence[Direction],
    rows: Sequence[np.ndarray],
    prompt_tokens: np.ndarray,
) -> np.ndarray:
    """Mean cosine between each sample's Adam direction and a group's target gradients; higher helps more.

    One forward and backward pass gives all directions.

    Args:
        model: the model at the end of a warm-up's epoch.
        vectors: for each layer, groups x elements of its weight, from `target_vectors`.
        directions: forms of Adam's direction.
        rows: token ids of each sample, prompt and answer.
        prompt_tokens: number of prompt tokens of each sample, fewer than all of its tokens.

    Returns:
        Samples x directions x groups, float64; NaN or infinity if the model gave such numbers.
    """
    device = model.gradients.model.device
    groups = len(next(iter(vectors.values())))
    products = torch.zeros(len(directions), len(rows), groups, dtype=torch.float64, device=device)
    squares = torch.zeros(len(directions), len(rows), 1, dtype=torch.float64, device=device)

    def receive(name: str, inputs: torch.Tensor, output_gradients: torch.Tensor) -> None:
        for part, gradients in single_gradients(inputs, output_gradients):
            for index, direction in enumerate(directions):
                step = update_direction(gradients, model.moments[name], direction)
                products[index, part] += step @ vectors[name].T
                squares[index, part, 0] += torch.linalg.vector_norm(step, dim=1).double().square()

    model.gradients.run(rows, prompt_tokens, receive)
    return (products / squares.sqrt()).transpose(0, 1).cpu().numpy()
