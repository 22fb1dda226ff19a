"""Wrong parts to make sketches of: each is what someone wrote, or could have written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.sketch import Sketch, reduce, term
from kl_reference.convention import Reduction, Space

Array = NDArray[Any]

BLOCK = 4


def on_logits(log_softmax: Callable[[Array], Array]) -> Sketch:
    """Return a sketch that takes logits through a log-softmax of its own."""
    return Sketch(
        target=(Space.PROBABILITY,), model=(Space.LOGITS,), term=lambda p, x: term(p, log_softmax(x))
    )


def log_sum(x: Array, top: Array) -> Array:
    """Return log Σ e^x over the classes, with ``top`` taken out first."""
    return np.asarray(np.log(np.exp(x - top).sum(-1, keepdims=True)) + top)


def largest(x: Array) -> Array:
    """Return the largest logit of each row."""
    return np.asarray(x.max(-1, keepdims=True))


def softmax(x: Array) -> Array:
    """Return the probabilities of logits."""
    weights = np.exp(x - largest(x))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def without_largest(x: Array) -> Array:
    """Return log softmax with the exponentials of the logits as they are."""
    weights = np.exp(x)
    return np.asarray(np.log(weights / weights.sum(-1, keepdims=True)))


def with_largest_of_all(x: Array) -> Array:
    """Return log softmax, the largest logit of all rows taken out of each."""
    return np.asarray(x - log_sum(x, x.max(keepdims=True)))


def with_padding(x: Array) -> Array:
    """Return log softmax over classes filled up to whole blocks with logits of 0."""
    lanes = -x.shape[-1] % BLOCK
    padded = np.concatenate([x, np.zeros((*x.shape[:-1], lanes), x.dtype)], axis=-1)
    return np.asarray(x - log_sum(padded, largest(padded)))


def with_one_more(x: Array) -> Array:
    """Return x − log(1 + Σ e^x): the 1 does not move when the logits do."""
    return np.asarray(x - np.logaddexp(log_sum(x, largest(x)), np.zeros((), x.dtype)))


def coarse(values: Array) -> Array:
    """Return float32 numbers cut to the upper sixteen bits, as bfloat16 holds them."""
    return (values.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def flushed(values: Array) -> Array:
    """Return numbers with those below the least normal one set to 0."""
    return np.where(np.abs(values) < np.finfo(values.dtype).tiny, 0 * values, values)


def divided(target: Array, model: Array) -> tuple[Array, Array]:
    """Divide P by its sum."""
    return target / target.sum(-1, keepdims=True), model


def scribbled(target: Array, model: Array) -> tuple[Array, Array]:
    """Use the model's own memory for something else."""
    kept = model.copy()
    model *= 2
    return target, kept


def as_stored(target: Array, model: Array) -> tuple[Array, Array]:
    """Read as many numbers as there are, from where their memory begins."""
    return _stored(target), _stored(model)


def _stored(array: Array) -> Array:
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    return np.resize(base.ravel(order="K"), array.shape)


def as_given(target: Array, model: Array) -> tuple[Array, Array]:
    """Let any two shapes meet."""
    return target, model


def ones_for_nothing(target: Any, model: Array) -> tuple[Array, Array]:
    """Take ones where no array is given."""
    return (target if isinstance(target, np.ndarray) else np.ones_like(model)), model


class Forgiving(dict[str, Reduction]):
    """Takes every unknown name for a sum."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Reduction:
        return Reduction.SUM


def masked_row(p: Array, log_q: Array) -> Array:
    """Return the rows in which some class has p = q = 0."""
    return np.asarray(np.any((p == 0) & (log_q == -np.inf), axis=-1, keepdims=True))


def tail_lost(terms: Array, how: Reduction) -> Array:
    """Add up whole blocks of classes alone."""
    return reduce(terms[..., : max(terms.shape[-1] // BLOCK * BLOCK, 1)], how)


def in_their_own_format(terms: Array, how: Reduction) -> Array:
    """Add up one term after another in the format they have."""
    return reduce(np.cumsum(terms, axis=-1, dtype=terms.dtype)[..., -1:], how)


def over_rows(terms: Array, how: Reduction) -> Array:
    """Divide the mean by the rows of the first axis."""
    return reduce(terms, Reduction.BATCHMEAN if how is Reduction.MEAN else how)


def over_every_row(terms: Array, how: Reduction) -> Array:
    """Divide "batchmean" by the rows of all leading axes."""
    return reduce(terms, Reduction.ROWMEAN if how is Reduction.BATCHMEAN and terms.ndim else how)


def rows_above_zero(terms: Array, how: Reduction) -> Array:
    """Cut the divergence of each row off at 0 before the rows are added up."""
    if how is not Reduction.SUM:
        return reduce(terms, how)
    return np.asarray(np.maximum(terms.sum(-1), 0).sum())
