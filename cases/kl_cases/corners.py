"""Edge classes of the formula that can be inserted into any pair."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kl_cases.family import Rng, order, per_row
from kl_cases.pair import Measure, Pair
from kl_cases.portable_math import log
from kl_reference.convention import Space
from kl_reference.dtype import Dtype


@dataclass(frozen=True, slots=True)
class Corner:
    """A probability for p, for q or for both at one class; None leaves a side unchanged.

    Parameters
    ----------
    name
        Words joined by hyphens.
    sentence
        The expected effect.
    p, q
        The inserted probabilities, as functions of the dtype under test.
    whole
        The whole row is overwritten instead of one class.
    """

    name: str
    sentence: str
    p: Callable[[Dtype], float] | None = None
    q: Callable[[Dtype], float] | None = None
    whole: bool = False


def _constant(value: float) -> Callable[[Dtype], float]:
    return lambda _: value


_LISTED = (
    Corner("zero-target", "p = 0 adds nothing.", p=_constant(0.0)),
    Corner("negative-zero-target", "p = −0 adds nothing.", p=_constant(-0.0)),
    Corner("zero-over-zero", "p = 0, q = 0 adds nothing.", p=_constant(0.0), q=_constant(0.0)),
    Corner("zero-model", "p > 0, q = 0 gives +∞.", p=_constant(0.25), q=_constant(0.0)),
    Corner(
        "tiny-model",
        "p > 0 and q the least normal number gives a large, finite term.",
        p=_constant(0.25),
        q=lambda dtype: dtype.least_normal,
    ),
    Corner("unit-model", "q = 1, log q = 0: the edge of a clip.", p=_constant(0.25), q=_constant(1.0)),
    Corner("equal", "p = q adds nothing, though neither is 0.", p=_constant(0.25), q=_constant(0.25)),
    Corner("nan-target", "p = NaN gives NaN.", p=_constant(np.nan)),
    Corner("nan-model", "q = NaN gives NaN where p > 0.", p=_constant(0.25), q=_constant(np.nan)),
    Corner("negative-target", "p < 0 gives NaN or an error.", p=_constant(-0.25)),
    Corner("infinite-target", "p = ∞ is no probability.", p=_constant(np.inf)),
    Corner("infinite-model", "q = ∞ is no probability.", p=_constant(0.25), q=_constant(np.inf)),
    Corner("minus-infinite-target", "p = −∞ is no probability.", p=_constant(-np.inf)),
    Corner("minus-infinite-model", "q = −∞ is no probability.", p=_constant(0.25), q=_constant(-np.inf)),
    Corner("masked-row", "A row of p = 0, q = 0 adds nothing.", p=_constant(0.0), q=_constant(0.0), whole=True),
)
CORNERS: Mapping[str, Corner] = {corner.name: corner for corner in _LISTED}


def inject(pair: Pair, names: tuple[str, ...], rng: Rng, dtype: Dtype) -> Pair:
    """Overwrite one random class per corner, in every row or in one random row; a whole row is always one row.

    Rows are not normalised again. Different corners use different classes if there are enough classes.

    Parameters
    ----------
    pair
        Classes last, both sides of one shape.
    names
        Names in ``CORNERS``.
    rng, dtype
        They determine the classes and the numbers.

    Raises
    ------
    ValueError
        A name is unknown; the message lists the known ones.
    """
    unknown = [name for name in names if name not in CORNERS]
    if unknown:
        raise ValueError(f"unknown corner {unknown[0]!r}; known: {', '.join(CORNERS)}")
    if not names:
        return pair
    corners = [CORNERS[name] for name in names]
    classes = order(rng, pair.shape)
    rows = rng.random(per_row(pair.shape))
    every = bool(rng.random() < 0.5)
    one = rows == rows.max()
    chosen = np.ones_like(one) if every else one
    p, q = pair.p, pair.q
    for place, corner in enumerate(corners):
        marked = np.arange(pair.classes) == classes[..., [place % pair.classes]]
        where = one if corner.whole else chosen & marked  # the rows beside a masked row must be correct
        p = p if corner.p is None else _overwritten(p, where, corner.p(dtype))
        q = q if corner.q is None else _overwritten(q, where, corner.q(dtype))
    return Pair(p, q, pair.axis, pair.origin)


def _overwritten(measure: Measure, where: NDArray[np.bool_], probability: float) -> Measure:
    """Write one probability where marked, in the measure's own space if that space can express it."""
    if measure.space is Space.PROBABILITY:
        return Measure(np.where(where, probability, measure.values), Space.PROBABILITY)
    if probability < 0.0:
        plain = Measure(measure.expressed(Space.PROBABILITY), Space.PROBABILITY)
        return _overwritten(plain, where, probability)
    number = float(log(np.array([probability]))[0])
    return Measure(np.where(where, number, measure.values), measure.space)
