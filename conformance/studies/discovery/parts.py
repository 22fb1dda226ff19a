"""Faulty parts of miniatures: each is a mistake from real code, or a plausible one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.requirements.miniature import Miniature, reduce, term
from kl_reference.convention import Reduction, Space

Array = NDArray[Any]

BLOCK = 4


def on_logits(log_softmax: Callable[[Array], Array]) -> Miniature:
    """Return a miniature that applies the given log-softmax to logits."""
    return Miniature(target=(Space.PROBABILITY,), model=(Space.LOGITS,), term=lambda p, x: term(p, log_softmax(x)))


def log_sum(x: Array, top: Array) -> Array:
    """Return log Σ e^x over the classes, with ``top`` subtracted first."""
    return np.asarray(np.log(np.exp(x - top).sum(-1, keepdims=True)) + top)


def largest(x: Array) -> Array:
    """Return the largest logit of each row."""
    return np.asarray(x.max(-1, keepdims=True))


def softmax(x: Array) -> Array:
    """Return the probabilities of logits."""
    weights = np.exp(x - largest(x))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def without_largest(x: Array) -> Array:
    """Return log softmax without subtracting the largest logit."""
    weights = np.exp(x)
    return np.asarray(np.log(weights / weights.sum(-1, keepdims=True)))


def with_largest_of_all(x: Array) -> Array:
    """Return log softmax with the largest logit of all rows subtracted from each row."""
    return np.asarray(x - log_sum(x, x.max(keepdims=True)))


def with_padding(x: Array) -> Array:
    """Return log softmax over classes padded to whole blocks with logits of 0."""
    lanes = -x.shape[-1] % BLOCK
    padded = np.concatenate([x, np.zeros((*x.shape[:-1], lanes), x.dtype)], axis=-1)
    return np.asarray(x - log_sum(padded, largest(padded)))


def with_one_more(x: Array) -> Array:
    """Return x − log(1 + Σ e^x): the 1 does not shift with the logits."""
    return np.asarray(x - np.logaddexp(log_sum(x, largest(x)), np.zeros((), x.dtype)))


def coarse(values: Array) -> Array:
    """Return float32 numbers truncated to the upper sixteen bits, as in bfloat16."""
    return (values.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def flushed(values: Array) -> Array:
    """Return the values with subnormal numbers set to 0."""
    return np.where(np.abs(values) < np.finfo(values.dtype).tiny, 0 * values, values)


def divided(target: Array, model: Array) -> tuple[Array, Array]:
    """Divide P by its sum."""
    return target / target.sum(-1, keepdims=True), model


def scribbled(target: Array, model: Array) -> tuple[Array, Array]:
    """Overwrite the memory of the model."""
    copy = model.copy()
    model *= 2
    return target, copy


def as_stored(target: Array, model: Array) -> tuple[Array, Array]:
    """Read the elements contiguously from the start of their memory."""
    return _stored(target), _stored(model)


def _stored(array: Array) -> Array:
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    return np.resize(base.ravel(order="K"), array.shape)


def as_given(target: Array, model: Array) -> tuple[Array, Array]:
    """Accept any two shapes."""
    return target, model


def ones_for_nothing(target: Any, model: Array) -> tuple[Array, Array]:
    """Replace an argument that is no array by ones."""
    return (target if isinstance(target, np.ndarray) else np.ones_like(model)), model


class Forgiving(dict[str, Reduction]):
    """Reads every unknown reduction name as a sum."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Reduction:
        return Reduction.SUM


def masked_row(p: Array, log_q: Array) -> Array:
    """Return a mask of the rows in which some class has p = q = 0."""
    return np.asarray(np.any((p == 0) & (log_q == -np.inf), axis=-1, keepdims=True))


def tail_lost(terms: Array, how: Reduction) -> Array:
    """Sum whole blocks of classes only."""
    return reduce(terms[..., : max(terms.shape[-1] // BLOCK * BLOCK, 1)], how)


def in_their_own_format(terms: Array, how: Reduction) -> Array:
    """Sum the terms one after another in their own dtype."""
    return reduce(np.cumsum(terms, axis=-1, dtype=terms.dtype)[..., -1:], how)


def over_rows(terms: Array, how: Reduction) -> Array:
    """Divide the mean by the rows of the first axis."""
    return reduce(terms, Reduction.BATCHMEAN if how is Reduction.MEAN else how)


def over_every_row(terms: Array, how: Reduction) -> Array:
    """Divide "batchmean" by the rows of all leading axes."""
    return reduce(terms, Reduction.ROWMEAN if how is Reduction.BATCHMEAN and terms.ndim else how)


def rows_above_zero(terms: Array, how: Reduction) -> Array:
    """Clamp the divergence of each row at 0 before the rows are added."""
    if how is not Reduction.SUM:
        return reduce(terms, how)
    return np.asarray(np.maximum(terms.sum(-1), 0).sum())
