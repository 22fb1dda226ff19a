"""A correct NumPy KL divergence whose parts can be replaced by faulty ones (self-test of each requirement)."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform, Transformed
from kl_conformance.implementations.implementation import Implementation, Mixing, Spelling, Weighting
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
    # The sum over a vocabulary of classes exceeds the range of float16.
    total = np.exp(shifted).sum(-1, keepdims=True, dtype=np.promote_types(logits.dtype, np.float32))
    return term(p, shifted - np.log(total).astype(logits.dtype))


def by_logits(p: Array, logits: Array) -> Array:
    """Return the derivative of a row's divergence with respect to the logits of Q, softmax(x)·Σp − p."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True) * p.sum(-1, keepdims=True) - p)


def divisor(reduction: Reduction, shape: tuple[int, ...]) -> float:
    """Return the divisor of a reduction's sum."""
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
    """Return the reduced terms, accumulated in float32 or wider and rounded once."""
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
    """Return the derivative of a term with respect to log q, −p, in the broadcast shape."""
    return np.asarray(-p + np.zeros_like(log_q))


def by_target(p: Array, log_q: Array) -> Array:
    """Return the derivative of a term with respect to p, log p − log q + 1; its limit −∞ where p = 0."""
    return np.where(p == 0, -np.inf, np.log(p) - log_q + 1)


def second_by_target(p: Array, log_q: Array) -> Array:
    """Return the second derivative of a term with respect to p, 1/p; its limit ∞ where p = 0."""
    return np.asarray(1 / p + np.zeros_like(log_q))


def jvp(slope: Array, direction: Array) -> Array:
    """Return slope × direction, 0 where the direction is 0, even if the slope is infinite."""
    return np.where(direction == 0, np.zeros_like(slope), slope * direction)


def unchanged(array: Array) -> Array:
    """Return the array itself."""
    return array


def promote_to_wider(target: Array, model: Array) -> tuple[Array, Array]:
    """Return both arrays in the wider of their dtypes."""
    wider = np.result_type(target, model)
    return target.astype(wider, copy=False), model.astype(wider, copy=False)


def check_classes(target: Array, model: Array) -> tuple[Array, Array]:
    """Return both arrays, or raise ValueError where their numbers of classes differ."""
    classes = [np.shape(each)[-1:] for each in (target, model)]
    if classes[0] != classes[1]:
        raise ValueError(f"{classes[0]} classes in the target, {classes[1]} in the model")
    return target, model


def legacy_reduction(options: Mapping[str, Any]) -> str:
    """Return the reduction that the deprecated argument ``reduce`` means, with a DeprecationWarning."""
    name = "mean" if options["reduce"] else "none"
    warnings.warn(f"reduce is deprecated, please use reduction={name!r}", DeprecationWarning, stacklevel=2)
    return name


def apply_weights(terms: Array, weights: Array) -> Array:
    """Return each row of terms multiplied by its weight."""
    return np.asarray(terms * weights[..., np.newaxis])


def apply_mask(terms: Array, mask: Array) -> Array:
    """Return the terms where the mask is not 0, and 0 elsewhere, NaN included."""
    return np.where(mask != 0, terms, np.zeros_like(terms))


NAMES: Mapping[str, Reduction] = {
    "none": Reduction.TERMS,
    "sum": Reduction.SUM,
    "mean": Reduction.MEAN,
    "batchmean": Reduction.BATCHMEAN,
}
LEGACY = (Spelling({"reduce": True}, Reduction.MEAN), Spelling({"reduce": False}, Reduction.TERMS))


def sum_copies(slope: Array, shape: tuple[int, ...]) -> Array:
    """Return the gradient of a broadcast argument of that shape: the sum over its copies."""
    slope = slope.sum(tuple(range(slope.ndim - len(shape))))
    copied = tuple(axis for axis, length in enumerate(shape) if length != slope.shape[axis])
    return np.asarray(slope.sum(copied, keepdims=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Miniature:
    """A correct KL divergence in parts; a miniature replaces one part by a faulty one.

    ``by_model``, ``by_target`` and ``second_by_target`` are derivatives of one term; ``sum_copies`` returns the
    gradient of a broadcast argument, and ``jvp`` the product of a slope and a direction. ``before`` receives both
    arrays (it may raise), ``after`` the answer, ``upstream`` the upstream gradient, and each function of
    ``after_transform`` the result of a transform. ``promote`` converts operands of two dtypes; ``legacy_reduction``
    reads deprecated arguments.
    """

    term: Term = term
    log_term: Term = log_term
    reduce: Callable[[Array, Reduction], Array] = reduce
    divisor: Callable[[Reduction, tuple[int, ...]], float] = divisor
    by_model: Term = by_model
    by_target: Term = by_target
    sum_copies: Callable[[Array, tuple[int, ...]], Array] = sum_copies
    before: Callable[[Array, Array], tuple[Array, Array]] = check_classes
    after: Callable[[Array], Array] = unchanged
    upstream: Callable[[Array], Array] = unchanged
    second_by_target: Term = second_by_target
    jvp: Term = jvp
    promote: Callable[[Array, Array], tuple[Array, Array]] = promote_to_wider
    after_transform: Mapping[Transform, Transformed] = field(default_factory=dict[Transform, Transformed])
    legacy_reduction: Callable[[Mapping[str, Any]], str] = legacy_reduction
    apply_weights: Term = apply_weights
    apply_mask: Term = apply_mask
    formula: Formula = Formula.PLAIN
    target: tuple[Space, ...] = (Space.PROBABILITY, Space.LOG)
    model: tuple[Space, ...] = (Space.LOG,)
    reductions: Mapping[str, Reduction] = field(default_factory=lambda: dict(NAMES))
    default: str = "mean"

    def __call__(self, modules: Any, call: Call) -> Any:
        """Return the divergence of one call."""
        del modules
        with np.errstate(all="ignore"):  # NumPy's warnings about a fault are expected
            return self._answer(call)

    def _answer(self, call: Call) -> Any:
        target, model = self.promote(*self.before(call.target, call.model))
        np.broadcast_shapes(np.shape(target), np.shape(model))
        name = self.default if call.reduction is None else call.reduction
        if call.options:
            name = self.legacy_reduction(call.options)
        if name not in self.reductions:
            raise ValueError(f"unknown reduction {name!r}; known: {', '.join(self.reductions)}")
        terms = (self.log_term if call.log_target else self.term)(target, model)
        if call.weights is not None:
            terms = self.apply_weights(terms, call.weights)
        if call.mask is not None:
            terms = self.apply_mask(terms, call.mask)
        return self.after(self.reduce(terms, self.reductions[name]))

    def gradient(self, modules: Any, call: Call, side: Side, upstream: Any) -> Any:
        """Return the gradient of one call with respect to one side."""
        del modules
        whole = np.broadcast_shapes(np.shape(call.target), np.shape(call.model))
        part = np.broadcast_to(self._slope(call, side), whole)
        slope = part * self._upstream(call, upstream) / self.divisor(self._kind(call), part.shape)
        shape = np.shape(call.model if side is Side.MODEL else call.target)
        return self.sum_copies(slope, shape).astype(call.target.dtype)

    def _upstream(self, call: Call, upstream: Any) -> Array:
        seed = self.upstream(np.asarray(1.0 if upstream is None else upstream))
        return seed[..., np.newaxis] if self._kind(call) is Reduction.ROWS and seed.ndim else seed

    def _kind(self, call: Call) -> Reduction:
        return self.reductions[self.default if call.reduction is None else call.reduction]

    def _slope(self, call: Call, side: Side) -> Array:
        p = np.exp(call.target) if call.log_target else call.target
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (self.by_model if side is Side.MODEL else self.by_target)(p, call.model)
            if side is Side.TARGET and call.log_target:
                part = np.where(p == 0, 0.0, p * part)
        return part

    def _joint(self, modules: Any, call: Call, upstream: Any) -> Any:
        return [self.gradient(modules, call, side, upstream) for side in (Side.TARGET, Side.MODEL)]

    def _curvature(self, modules: Any, call: Call, side: Side, direction: Any, upstream: Any) -> Any:
        del modules
        if side is Side.MODEL:
            return np.zeros_like(call.model)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.exp(call.target) if call.log_target else call.target
            part = self.second_by_target(p, call.model)
            if call.log_target:
                part = np.where(p == 0, 0.0, p * p * part + self._slope(call, side))
        second = part * direction * self._upstream(call, upstream)
        return (second / self.divisor(self._kind(call), part.shape)).astype(call.target.dtype)

    def _tangent(self, modules: Any, call: Call, side: Side, direction: Any) -> Any:
        del modules
        with np.errstate(invalid="ignore"):
            terms = self.jvp(self._slope(call, side), direction)
        return self.reduce(terms.astype(call.target.dtype), self._kind(call))

    def _deferred(self, modules: Any, call: Call, side: Side) -> Transformed:
        def later(upstream: Any) -> list[Any]:
            return [self.gradient(modules, call, side, upstream)]

        return later

    def _batched(self, modules: Any, call: Call) -> Any:
        return np.stack([self(modules, row) for row in _rows(call)])

    def _per_row(self, modules: Any, call: Call, side: Side) -> Any:
        return np.stack([self.gradient(modules, row, side, None) for row in _rows(call)])

    def _autocast(self, modules: Any, call: Call) -> Any:
        wide = np.promote_types(call.target.dtype, np.float32)
        return self(modules, replace(call, target=call.target.astype(wide), model=call.model.astype(wide)))

    def _transforms(self) -> Mapping[Transform, Transformed]:
        """Return every transform, each with its ``after_transform`` function applied."""
        plain: dict[Transform, Transformed] = {
            Transform.JOINT: self._joint,
            Transform.DEFERRED: self._deferred,
            Transform.CURVATURE: self._curvature,
            Transform.TANGENT: self._tangent,
            Transform.COMPILED: self,
            Transform.INFERENCE: self,
            Transform.BATCHED: self._batched,
            Transform.PER_ROW: self._per_row,
            Transform.AUTOCAST: self._autocast,
        }

        def composed(after: Transformed, transform: Transformed) -> Transformed:
            return lambda *arguments: after(transform(*arguments))

        return plain | {each: composed(after, plain[each]) for each, after in self.after_transform.items()}

    def implementation(self, name: str = "miniature") -> Implementation:
        """Return the miniature as an implementation on NumPy arrays."""
        unreduced = Reduction.TERMS in self.reductions.values()
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
                axis=None if unreduced and Space.LOGITS not in self.model else -1,
            ),
            call=self,
            dtypes=(Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16),
            gradient=self.gradient,
            mixing=Mixing.WIDER,
            custom_transforms=self._transforms(),
            legacy=tuple(each for each in LEGACY if each.reduction in self.reductions.values()),
            weightings=tuple(Weighting(each, kind) for each, kind in self.reductions.items()),
            masks=">=0",
            typical_shape=(40, 9),
        )


def _rows(call: Call) -> list[Call]:
    return [replace(call, target=p, model=q) for p, q in zip(call.target, call.model, strict=True)]
