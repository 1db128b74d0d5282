# Numbers give a number, and an array in any place gives an array.
# pyright: reportOverlappingOverload=false

from typing import Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

class _Elementwise(Protocol):
    @overload
    def __call__(self, x: float, /, *others: float) -> np.float64: ...
    @overload
    def __call__(self, x: ArrayLike, /, *others: ArrayLike) -> NDArray[np.float64]: ...

chdtri: _Elementwise
ndtr: _Elementwise
stdtrit: _Elementwise
