"""A right KL divergence in a few lines of NumPy, every part of which can be replaced by a wrong one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.implementation import Call, Implementation, Mixing, Spelling, Weighting
from kl_conformance.transform import Pullback, Transform
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
    # As many classes as a vocabulary has add up to more than float16 can hold.
    total = np.exp(shifted).sum(-1, keepdims=True, dtype=np.promote_types(logits.dtype, np.float32))
    return term(p, shifted - np.log(total).astype(logits.dtype))


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


def bend_target(p: Array, log_q: Array) -> Array:
    """Return the second derivative of a term by p, 1/p, and its limit ∞ where p = 0."""
    return np.asarray(1 / p + np.zeros_like(log_q))


def push(slope: Array, direction: Array) -> Array:
    """Return slope × direction, 0 where nothing moves, however steep it is."""
    return np.where(direction == 0, np.zeros_like(slope), slope * direction)


def unchanged(array: Array) -> Array:
    """Return what is given."""
    return array


def promoted(target: Array, model: Array) -> tuple[Array, Array]:
    """Return both in the wider of their dtypes, before anything is computed."""
    wider = np.result_type(target, model)
    return target.astype(wider, copy=False), model.astype(wider, copy=False)


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


def gathered(slope: Array, shape: tuple[int, ...]) -> Array:
    """Return the gradient of an argument of that shape, summed over its copies."""
    slope = slope.sum(tuple(range(slope.ndim - len(shape))))
    copied = tuple(axis for axis, length in enumerate(shape) if length != slope.shape[axis])
    return np.asarray(slope.sum(copied, keepdims=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """The parts of an implementation; replace one to make a miniature of a fault.

    ``by_model`` and ``by_target`` are the derivatives of one term, ``gathered`` what becomes of those of an
    argument that was broadcast; ``before`` sees both arrays first (and may
    raise, or change them), ``after`` the answer last. ``spelt`` reads old arguments, ``weigh`` and ``keep``
    apply weights and a mask to the terms. ``bend_target`` is the second derivative by the target, ``push`` what a
    tangent makes of a slope, ``promote`` what becomes of two dtypes, and ``ways`` what becomes of that which a
    transform gave.
    """

    term: Term = term
    log_term: Term = log_term
    reduce: Callable[[Array, Reduction], Array] = reduce
    divisor: Callable[[Reduction, tuple[int, ...]], float] = divisor
    by_model: Term = by_model
    by_target: Term = by_target
    gathered: Callable[[Array, tuple[int, ...]], Array] = gathered
    before: Callable[[Array, Array], tuple[Array, Array]] = same_classes
    after: Callable[[Array], Array] = unchanged
    upstream: Callable[[Array], Array] = unchanged
    bend_target: Term = bend_target
    push: Term = push
    promote: Callable[[Array, Array], tuple[Array, Array]] = promoted
    ways: Mapping[Transform, Callable[..., Any]] = field(default_factory=dict[Transform, Callable[..., Any]])
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
        target, model = self.promote(*self.before(call.target, call.model))
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
        whole = np.broadcast_shapes(np.shape(call.target), np.shape(call.model))
        part = np.broadcast_to(self._slope(call, side), whole)
        slope = part * self._above(call, upstream) / self._divisor(call, part)
        own = np.shape(call.model if side is Side.MODEL else call.target)
        return self.gathered(slope, own).astype(call.target.dtype)

    def _above(self, call: Call, upstream: Any) -> Array:
        seed = self.upstream(np.asarray(1.0 if upstream is None else upstream))
        return seed[..., np.newaxis] if self._kind(call) is Reduction.ROWS and seed.ndim else seed

    def _kind(self, call: Call) -> Reduction:
        return self.reductions[self.default if call.reduction is None else call.reduction]

    def _divisor(self, call: Call, part: Array) -> float:
        return self.divisor(self._kind(call), part.shape)

    def _slope(self, call: Call, side: Side) -> Array:
        p = np.exp(call.target) if call.log_target else call.target
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (self.by_model if side is Side.MODEL else self.by_target)(p, call.model)
            if side is Side.TARGET and call.log_target:
                part = np.where(p == 0, 0.0, p * part)
        return part

    def _together(self, modules: Any, call: Call, upstream: Any) -> Any:
        return [self.gradient(modules, call, side, upstream) for side in (Side.TARGET, Side.MODEL)]

    def _later(self, modules: Any, call: Call, side: Side) -> Pullback:
        return lambda upstream: [self.gradient(modules, call, side, upstream)]

    def _curvature(self, modules: Any, call: Call, side: Side, direction: Any, upstream: Any) -> Any:
        del modules
        if side is Side.MODEL:
            return np.zeros_like(call.model)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.exp(call.target) if call.log_target else call.target
            part = self.bend_target(p, call.model)
            if call.log_target:
                part = np.where(p == 0, 0.0, p * p * part + self._slope(call, side))
        made = part * direction * self._above(call, upstream) / self._divisor(call, part)
        return made.astype(call.target.dtype)

    def _tangent(self, modules: Any, call: Call, side: Side, direction: Any) -> Any:
        del modules
        with np.errstate(invalid="ignore"):
            terms = self.push(self._slope(call, side), direction)
        return self.reduce(terms.astype(call.target.dtype), self._kind(call))

    def _batched(self, modules: Any, call: Call) -> Any:
        rows = zip(call.target, call.model, strict=True)
        return np.stack([self(modules, replace(call, target=p, model=q)) for p, q in rows])

    def _per_row(self, modules: Any, call: Call, side: Side) -> Any:
        own = (replace(call, target=p, model=q) for p, q in zip(call.target, call.model, strict=True))
        return np.stack([self.gradient(modules, each, side, None) for each in own])

    def _autocast(self, modules: Any, call: Call) -> Any:
        due = np.promote_types(call.target.dtype, np.float32)
        return self(modules, replace(call, target=call.target.astype(due), model=call.model.astype(due)))

    def _own(self) -> Mapping[Transform, Callable[..., Any]]:
        """Return every transform, and what ``ways`` makes of each."""
        made: dict[Transform, Callable[..., Any]] = {
            Transform.JOINT: self._together,
            Transform.DEFERRED: self._later,
            Transform.CURVATURE: self._curvature,
            Transform.TANGENT: self._tangent,
            Transform.COMPILED: self,
            Transform.INFERENCE: self,
            Transform.BATCHED: self._batched,
            Transform.PER_ROW: self._per_row,
            Transform.AUTOCAST: self._autocast,
        }

        def changed(transform: Transform) -> Callable[..., Any]:
            way = self.ways[transform]
            return lambda *given: way(made[transform](*given))

        return made | {transform: changed(transform) for transform in self.ways}

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
            mixing=Mixing.WIDER,
            custom_transforms=self._own(),
            legacy=legacy,
            weightings=weightings,
            masks=">=0",
            typical_shape=(40, 9),
        )
