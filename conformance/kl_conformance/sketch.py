"""A right KL divergence in a few lines of NumPy, every part of which can be replaced by a wrong one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.implementation import Call, Implementation, Spelling, Weighting
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype

Array = NDArray[Any]
Term = Callable[[Array, Array], Array]


def term(p: Array, log_q: Array) -> Array:
    """Return p·(log p − log q), 0 where p = 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        plain: Array = p * (np.log(p) - log_q)
    return np.where((p == 0) & ~np.isnan(log_q), np.zeros_like(plain), plain)


def log_term(log_p: Array, log_q: Array) -> Array:
    """Return e^(log p)·(log p − log q), 0 where log p = −∞."""
    with np.errstate(invalid="ignore", over="ignore"):
        plain: Array = np.exp(log_p) * (log_p - log_q)
    return np.where((log_p == -np.inf) & ~np.isnan(log_q), np.zeros_like(plain), plain)


def generalised(p: Array, q: Array) -> Array:
    """Return p·log(p/q) − p + q."""
    with np.errstate(divide="ignore"):
        return np.asarray(term(p, np.log(q)) - p + q)


def logits_term(p: Array, logits: Array) -> Array:
    """Return p·(log p − log softmax(x)) by the stable formula."""
    shifted = logits - logits.max(-1, keepdims=True)
    return term(p, shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def by_logits(p: Array, logits: Array) -> Array:
    """Return the derivative of a row's divergence by the logits of Q, softmax(x)·Σp − p."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True) * p.sum(-1, keepdims=True) - p)


def divisor(reduction: Reduction, shape: tuple[int, ...]) -> float:
    """Return what a sum is divided by."""
    elements = float(np.prod(shape))
    match reduction:
        case Reduction.MEAN:
            return elements
        case Reduction.BATCHMEAN:
            return float(shape[0]) if shape else 1.0
        case Reduction.ROWMEAN:
            return elements / shape[-1]
        case _:
            return 1.0


def reduce(terms: Array, reduction: Reduction) -> Array:
    """Return the terms reduced, in float32 at least and rounded once."""
    wide = np.promote_types(terms.dtype, np.float32)
    match reduction:
        case Reduction.TERMS:
            return terms
        case Reduction.ROWS:
            total = terms.sum(-1, dtype=wide)
        case _:
            total = terms.sum(dtype=wide) / divisor(reduction, terms.shape)
    return np.asarray(total, dtype=terms.dtype)


def by_model(p: Array, log_q: Array) -> Array:
    """Return the derivative of a term by log q, −p, of the broadcast shape."""
    return np.asarray(-p + np.zeros_like(log_q))


def by_target(p: Array, log_q: Array) -> Array:
    """Return the derivative of a term by p, log p − log q + 1, and its limit −∞ where p = 0."""
    return np.where(p == 0, -np.inf, np.log(p) - log_q + 1)


def unchanged(array: Array) -> Array:
    """Return what is given."""
    return array


def same_classes(target: Array, model: Array) -> tuple[Array, Array]:
    """Refuse operands with different numbers of classes."""
    classes = [np.shape(each)[-1:] for each in (target, model)]
    if classes[0] != classes[1]:
        raise ValueError(f"{classes[0]} classes against {classes[1]}")
    return target, model


def spelt(options: Mapping[str, Any]) -> str:
    """Return the reduction that ``reduce`` means, and warn that it is an old way of asking."""
    name = "mean" if options["reduce"] else "none"
    warnings.warn(f"reduce is deprecated, please use reduction={name!r}", DeprecationWarning, stacklevel=2)
    return name


def weigh(terms: Array, weights: Array) -> Array:
    """Return each row of terms times its weight."""
    return np.asarray(terms * weights[..., np.newaxis])


def keep(terms: Array, mask: Array) -> Array:
    """Return the terms to include, and 0 in place of the others, whatever they are."""
    return np.where(mask != 0, terms, np.zeros_like(terms))


NAMES: Mapping[str, Reduction] = {
    "none": Reduction.TERMS,
    "sum": Reduction.SUM,
    "mean": Reduction.MEAN,
    "batchmean": Reduction.BATCHMEAN,
}
LEGACY = (Spelling({"reduce": True}, Reduction.MEAN), Spelling({"reduce": False}, Reduction.TERMS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """The parts of an implementation; replace one to make a miniature of a fault.

    ``by_model`` and ``by_target`` are the derivatives of one term; ``before`` sees both arrays first (and may
    raise, or change them), ``after`` the answer last. ``spelt`` reads old arguments, ``weigh`` and ``keep``
    apply weights and a mask to the terms.
    """

    term: Term = term
    log_term: Term = log_term
    reduce: Callable[[Array, Reduction], Array] = reduce
    divisor: Callable[[Reduction, tuple[int, ...]], float] = divisor
    by_model: Term = by_model
    by_target: Term = by_target
    before: Callable[[Array, Array], tuple[Array, Array]] = same_classes
    after: Callable[[Array], Array] = unchanged
    upstream: Callable[[Array], Array] = unchanged
    spelt: Callable[[Mapping[str, Any]], str] = spelt
    weigh: Term = weigh
    keep: Term = keep
    formula: Formula = Formula.PLAIN
    target: tuple[Space, ...] = (Space.PROBABILITY, Space.LOG)
    model: tuple[Space, ...] = (Space.LOG,)
    reductions: Mapping[str, Reduction] = field(default_factory=lambda: dict(NAMES))
    default: str = "mean"

    def __call__(self, modules: Any, call: Call) -> Any:
        """Answer one call."""
        del modules
        with np.errstate(all="ignore"):  # a miniature's warnings are part of its fault
            return self._answer(call)

    def _answer(self, call: Call) -> Any:
        target, model = self.before(call.target, call.model)
        np.broadcast_shapes(np.shape(target), np.shape(model))
        name = self.default if call.reduction is None else call.reduction
        if call.options:
            name = self.spelt(call.options)
        if name not in self.reductions:
            raise ValueError(f"unknown reduction {name!r}; known: {', '.join(self.reductions)}")
        terms = (self.log_term if call.log_target else self.term)(target, model)
        if call.weights is not None:
            terms = self.weigh(terms, call.weights)
        if call.mask is not None:
            terms = self.keep(terms, call.mask)
        return self.after(self.reduce(terms, self.reductions[name]))

    def gradient(self, modules: Any, call: Call, side: Side, upstream: Any) -> Any:
        """Differentiate one call."""
        del modules
        p = np.exp(call.target) if call.log_target else call.target
        reduction = self.reductions[self.default if call.reduction is None else call.reduction]
        seed = self.upstream(np.asarray(1.0 if upstream is None else upstream))
        if reduction is Reduction.ROWS:
            seed = seed[..., np.newaxis] if seed.ndim else seed
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (self.by_model if side is Side.MODEL else self.by_target)(p, call.model)
            if side is Side.TARGET and call.log_target:
                part = np.where(p == 0, 0.0, p * part)
        return (part * seed / self.divisor(reduction, part.shape)).astype(call.target.dtype)

    def implementation(self, name: str = "sketch") -> Implementation:
        """Return the sketch as an implementation on NumPy arrays."""
        keeps = Reduction.TERMS in self.reductions.values()
        legacy = tuple(each for each in LEGACY if each.reduction in self.reductions.values())
        weightings = tuple(Weighting(own, kind) for own, kind in self.reductions.items())
        return Implementation(
            name=name,
            framework="numpy",
            package="numpy",
            convention=Convention(
                formula=self.formula,
                target=self.target,
                model=self.model,
                reductions=self.reductions,
                default=self.default,
                axis=None if keeps and Space.LOGITS not in self.model else -1,
            ),
            call=self,
            dtypes=(Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16),
            gradient=self.gradient,
            legacy=legacy,
            weightings=weightings,
            masks=">=0",
        )
