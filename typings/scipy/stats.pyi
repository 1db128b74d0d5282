from typing import Generic, Literal, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import _Elementwise

_Value = TypeVar("_Value", np.float64, NDArray[np.float64])

class _Distribution:
    cdf: _Elementwise
    isf: _Elementwise
    ppf: _Elementwise
    sf: _Elementwise

f: _Distribution
nct: _Distribution
norm: _Distribution
t: _Distribution

class _Interval(NamedTuple):
    low: np.float64
    high: np.float64

class _Test(Generic[_Value]):
    statistic: _Value
    pvalue: _Value

class _TTest(_Test[np.float64]):
    df: np.float64
    def confidence_interval(self, confidence_level: float = 0.95) -> _Interval: ...

@overload
def levene(*samples: ArrayLike, center: Literal["mean", "median", "trimmed"]) -> _Test[np.float64]: ...
@overload
def levene(
    *samples: ArrayLike, center: Literal["mean", "median", "trimmed"], axis: int
) -> _Test[NDArray[np.float64]]: ...
def ttest_ind(a: ArrayLike, b: ArrayLike, *, equal_var: bool = True) -> _TTest: ...
def ttest_1samp(a: ArrayLike, popmean: float) -> _TTest: ...
def spearmanr(a: ArrayLike, b: ArrayLike) -> _Test[np.float64]: ...
def percentileofscore(a: ArrayLike, score: float, *, kind: Literal["rank", "mean"]) -> float: ...
def rankdata(a: ArrayLike, *, axis: int | None = None) -> NDArray[np.float64]: ...
