"""k-means on a GPU as scikit-learn's `KMeans` computes it on a CPU.

The start is that of its k-means++ with the same seed, and so are the stopping rule and what becomes of empty clusters.
Products are in float32 as there, so only last digits differ, by which a row between two clusters may change sides.
Sums are products with the clusters' members, not scattered additions: those would come in another order in each run.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from selection_platform.job.progress import progress
from selection_platform.models.precision import full_float32

MOST_ROUNDS = 300
TOLERANCE = 1e-4
"""The share of the mean variance of a dimension below which centres move no more. Both are scikit-learn's."""
BLOCK = 8192
"""Rows whose distances are computed at once."""


def bytes_needed(rows: int, width: int, clusters: int) -> int:
    """The memory on the device: the embeddings, numbers for each row, centres, and blocks in float32 and float64."""
    block = min(rows, BLOCK)
    return 4 * rows * width + 200 * rows + 40 * clusters * width + block * (24 * width + 16 * clusters)


def k_means(
    embeddings: NDArray[np.float32], clusters: int, seed: int, device: str
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """k-means by Lloyd's algorithm from one k-means++ start.

    Args:
        embeddings: rows x dimensions; may be mapped from a file.
        clusters: number of clusters, at most the number of rows.
        seed: seed of the start.
        device: where to compute.

    Returns:
        Each row's cluster, and the centres, clusters x dimensions.
    """
    with torch.inference_mode(), full_float32():
        rows = _Rows(embeddings, device)
        centres = rows.values[_start(rows, clusters, np.random.RandomState(seed))]
        labels, centres = _lloyd(rows, centres)
        return labels.cpu().numpy().astype(np.int32), centres.cpu().numpy() + rows.mean


class _Rows:
    """Embeddings on a device.

    Attributes:
        values: float32, rows x dimensions, minus their mean.
        mean: float32, on the CPU.
        norms: squared norm of each row, float64.
        tolerance: most that centres move in a last round, as a sum of squares.
    """

    def __init__(self, embeddings: NDArray[np.float32], device: str) -> None:
        self.device, count = device, len(embeddings)
        self.mean = np.asarray(embeddings.mean(axis=0, dtype=np.float64)).astype(np.float32)
        self.values = torch.empty(embeddings.shape, device=device)
        self.norms = torch.empty(count, dtype=torch.float64, device=device)
        for part in self.parts():
            self.values[part] = torch.from_numpy(embeddings[part] - self.mean).to(device)
            self.norms[part] = self.values[part].double().square().sum(dim=1)
        # Of rows minus their mean, the mean square is the variance.
        self.tolerance = TOLERANCE * float(self.norms.sum()) / embeddings.size

    def parts(self) -> Iterator[slice]:
        """Consecutive blocks of rows."""
        return (slice(start, start + BLOCK) for start in range(0, len(self.values), BLOCK))


def _start(rows: _Rows, clusters: int, random: np.random.RandomState) -> torch.Tensor:
    """The rows that k-means++ starts from: of a few candidates, drawn by their squared distances, the best each time.

    Draws and sums on the CPU are written as in scikit-learn, so that they are the same.
    """
    count, trials = len(rows.values), 2 + int(np.log(clusters))
    weight = np.ones(count, dtype=np.float32)
    picked = [int(random.choice(count, p=weight / weight.sum()))]
    nearest = _squared_distances(rows, picked)[0]
    with progress("k-means, start", clusters, "centres") as done:
        done.advance()
        while len(picked) < clusters:
            near = nearest.cpu().numpy()
            drawn = random.uniform(size=trials) * (near @ weight)
            candidates = np.searchsorted(np.cumsum(weight * near), drawn).clip(max=count - 1).tolist()
            of_each = torch.minimum(nearest, _squared_distances(rows, candidates))
            best = int(of_each.sum(dim=1, dtype=torch.float64).argmin())
            nearest = of_each[best]
            picked.append(candidates[best])
            done.advance()
    return torch.tensor(picked).to(rows.device)


def _squared_distances(rows: _Rows, places: list[int]) -> torch.Tensor:
    """Of all rows to some: places x rows, float32, computed in float64."""
    index = torch.tensor(places).to(rows.device)
    centres = rows.values[index].double()
    found = torch.empty((len(places), len(rows.values)), device=rows.device)
    for part in rows.parts():
        partial = torch.addmm(rows.norms[part], centres, rows.values[part].double().T, alpha=-2)
        found[:, part] = (partial + rows.norms[index][:, None]).clamp(min=0).float()
    return found


def _lloyd(rows: _Rows, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's cluster, and the centres, when labels stay or centres hardly move."""
    before = torch.full((len(rows.values),), -1, dtype=torch.int64, device=rows.device)
    with progress("k-means", MOST_ROUNDS, "rounds at most") as done:
        for _ in range(MOST_ROUNDS):
            labels, sums, sizes = _assigned(rows, centres)
            old, centres = centres, _means(rows, centres, labels, sums, sizes)
            if torch.equal(labels, before):
                return labels, centres
            if float((centres - old).square().sum()) <= rows.tolerance:
                break
            before = labels
            done.advance()
    return _assigned(rows, centres)[0], centres


def _assigned(rows: _Rows, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The nearest centre of each row, and for each centre the sum and the number of its rows, in float64."""
    labels = torch.empty(len(rows.values), dtype=torch.int64, device=rows.device)
    sums = torch.zeros(centres.shape, dtype=torch.float64, device=rows.device)
    sizes = torch.zeros(len(centres), dtype=torch.float64, device=rows.device)
    norms, numbers = centres.square().sum(dim=1), torch.arange(len(centres), device=rows.device)
    for part in rows.parts():
        block = rows.values[part]
        labels[part] = torch.addmm(norms, block, centres.T, alpha=-2).argmin(dim=1)
        is_member = (labels[part][:, None] == numbers).float()
        sums += is_member.T @ block
        sizes += is_member.sum(dim=0, dtype=torch.float64)
    return labels, sums, sizes


def _means(
    rows: _Rows, centres: torch.Tensor, labels: torch.Tensor, sums: torch.Tensor, sizes: torch.Tensor
) -> torch.Tensor:
    """The new centres, float32. A cluster without rows gets one of those that are farthest from their centres."""
    empty = (sizes == 0).nonzero()[:, 0].tolist()
    if empty:
        _fill(rows, centres, labels, sums, sizes, empty)
    means = sums / sizes.clamp(min=1)[:, None]
    # Where it stays empty, there are fewer different rows than clusters. It goes to the largest cluster, as it is then
    # in scikit-learn: before the mean is taken, if that one comes later.
    for cluster in (sizes == 0).nonzero()[:, 0].tolist() if empty else ():
        largest = int(sizes.argmax())
        means[cluster] = means[largest] if largest < cluster else sums[largest]
    return means.float()


def _fill(
    rows: _Rows, centres: torch.Tensor, labels: torch.Tensor, sums: torch.Tensor, sizes: torch.Tensor, empty: list[int]
) -> None:
    """Move the farthest rows, one each, to the clusters without rows, unless every row lies on its centre."""
    parts = (rows.values[part] - centres[labels[part]] for part in rows.parts())
    distances = torch.cat([part.square().sum(dim=1) for part in parts]).cpu().numpy()
    if distances.max() == 0:
        return
    farthest = np.argpartition(distances, -len(empty))[: -len(empty) - 1 : -1].tolist()
    for cluster, row in zip(empty, farthest, strict=True):
        sums[labels[row]] -= rows.values[row]
        sizes[labels[row]] -= 1
        sums[cluster] = rows.values[row].double()
        sizes[cluster] = 1
