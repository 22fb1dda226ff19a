"""The relative entropy in NumPy: a correct function, and a faulty one with an epsilon in its logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rel_entr(p: Any, q: Any) -> NDArray[Any]:
    """Return p·log(p/q), 0 where p = 0, ∞ where only q = 0, as scipy.special.rel_entr does."""
    p, q = np.broadcast_arrays(p, q)
    with np.errstate(all="ignore"):
        term = p * (np.log(p) - np.log(q))
    outside = np.where((p == 0) & (q >= 0), 0.0, np.inf)
    known = np.where((p > 0) & (q > 0), term, outside)
    return np.where(np.isnan(p) | np.isnan(q), np.nan, known).astype(np.result_type(p, q))


def rel_entr_epsilon(p: Any, q: Any) -> NDArray[Any]:
    """Return the relative entropy, accurate only for q well above 1e-10."""
    # THE FAULT: the epsilon that avoids log 0 changes every q, small ones most.
    return rel_entr(p, np.asarray(q) + np.asarray(q).dtype.type(1e-10))
