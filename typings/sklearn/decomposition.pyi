from typing import Literal

import numpy as np
from numpy.typing import NDArray

class PCA:
    def __init__(
        self, n_components: int | None = None, *, whiten: bool = False, svd_solver: Literal["auto", "full"] = "auto"
    ) -> None: ...
    def fit_transform(self, X: NDArray[np.floating]) -> NDArray[np.floating]: ...
