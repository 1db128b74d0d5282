from typing import Self

import numpy as np
from numpy.typing import NDArray

class KMeans:
    cluster_centers_: NDArray[np.floating]
    labels_: NDArray[np.int32]

    def __init__(self, n_clusters: int = 8, *, random_state: int | None = None) -> None: ...
    def fit(self, X: NDArray[np.floating]) -> Self: ...
