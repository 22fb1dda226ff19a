"""Pair: two measures P and Q before any implementation's convention is applied."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from kl_cases.portable_math import Array, exp, log, log_sum_exp
from kl_reference.convention import Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """The numbers of a distribution, or of a measure that need not sum to 1.

    Parameters
    ----------
    values
        Array of any shape; stored as a read-only float64 view.
    space
        Whether the numbers are p, log p or logits.
    """

    values: Array
    space: Space

    def __post_init__(self) -> None:
        """Make the numbers read-only: several columns may use the same array."""
        guarded = np.asarray(self.values, dtype=np.float64).view()
        guarded.flags.writeable = False
        object.__setattr__(self, "values", guarded)

    def expressed(self, space: Space, axis: int = -1) -> Array:
        """Return the same measure in another space, in float64.

        Parameters
        ----------
        space
            The requested space. Log-probabilities are also logits, so they are not normalised in that direction.
        axis
            The class axis, over which logits are normalised.

        Returns
        -------
        Array
            Array of the measure's own shape: 0 ↔ −∞, and positive numbers stay positive.

        Raises
        ------
        ValueError
            Logits without a class axis.
        """
        values = self.values
        if self.space is Space.LOGITS and space is not Space.LOGITS:
            if values.ndim == 0:
                raise ValueError("a scalar logit without a class axis has no softmax")
            with np.errstate(invalid="ignore"):  # a row of −∞ has no softmax: NaN
                values = values - log_sum_exp(values, axis)
        match space:
            case Space.PROBABILITY:
                return values if self.space is Space.PROBABILITY else _positive(values)
            case Space.LOG | Space.LOGITS:
                return log(values) if self.space is Space.PROBABILITY else values
            case _:
                assert_never(space)

    def realised(self, space: Space, dtype: Dtype, axis: int = -1, *, subnormals: bool = False) -> Operand:
        """Return the measure as an implementation receives it: in the given space, rounded to ``dtype``.

        With ``subnormals=False`` every nonzero number that rounds below the least normal number of
        ``dtype`` is raised to it, with its sign: subnormals and underflow occur only in problems that test them.
        """
        wide = self.expressed(space, axis)
        rounded = dtype.round(wide)
        if not subnormals:
            small = (wide != 0.0) & (np.abs(rounded) < dtype.least_normal)
            raised = np.copysign(dtype.least_normal, wide).astype(rounded.dtype)
            rounded = np.where(small, raised, rounded)
        return Operand(rounded, space, dtype)


def _positive(logs: Array) -> Array:
    """Return exp of logs, at least the least positive number unless the logarithm is −∞."""
    with np.errstate(invalid="ignore"):
        return exp(np.where(logs == -np.inf, logs, np.maximum(logs, -745.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """P (the data) and Q (the model), whose shapes broadcast.

    Parameters
    ----------
    p, q
        The two measures, each in the space in which it was given.
    axis
        The class axis; stored as a negative number, so that it is the same axis in both.
    origin
        The source of the pair, for people; not part of the problem.

    Raises
    ------
    ValueError
        The shapes do not broadcast, or the axis does not exist.
    """

    p: Measure
    q: Measure
    axis: int = -1
    origin: str = ""

    def __post_init__(self) -> None:
        """Reject shapes that do not broadcast; count the axis from the end."""
        dims = len(self.shape)
        if not -max(dims, 1) <= self.axis < max(dims, 1):
            raise ValueError(f"axis {self.axis} is outside the shape {self.shape} of {self.origin!r}")
        if self.axis >= 0:
            object.__setattr__(self, "axis", self.axis - max(dims, 1))

    @property
    def shape(self) -> tuple[int, ...]:
        """The broadcast shape."""
        p, q = self.p.values.shape, self.q.values.shape
        return p if p == q else np.broadcast_shapes(p, q)

    @property
    def classes(self) -> int:
        """Number of classes; 1 for a scalar."""
        return self.shape[self.axis] if self.shape else 1

    @property
    def _leading(self) -> int | None:
        """The first axis that is not the class axis."""
        dims = len(self.shape)
        return next((axis for axis in range(-dims, 0) if axis != self.axis), None)

    @property
    def rows(self) -> int:
        """Size of the first axis that is not the class axis, the axis of ``take_rows``; or 1."""
        return 1 if self._leading is None else self.shape[self._leading]

    @property
    def id(self) -> str:
        """A hash of the numbers, their spaces and the class axis: the same problem has the same id."""
        digest = hashlib.blake2b(digest_size=8)
        for measure in (self.p, self.q):
            digest.update(f"{measure.space.name}|{measure.values.shape}|".encode())
            plain = np.where(np.isnan(measure.values), np.nan, measure.values)
            digest.update(plain.astype("<f8").tobytes())
        digest.update(str(self.axis).encode())
        return digest.hexdigest()

    def realise(
        self, target: Space, model: Space, dtype: Dtype, *, subnormals: bool = False
    ) -> tuple[Operand, Operand]:
        """Return P and Q as an implementation receives them.

        Parameters
        ----------
        target, model
            The spaces in which the implementation expects P and Q.
        dtype
            The format to which both are rounded.
        subnormals
            Whether numbers below the least normal number of ``dtype`` may occur; see
            :meth:`Measure.realised`.

        Returns
        -------
        tuple of Operand
            (P, Q). A pair with equal sides given in one space stays equal, bit for bit, if both
            are realised in one space.
        """
        return (
            self.p.realised(target, dtype, self.axis, subnormals=subnormals),
            self.q.realised(model, dtype, self.axis, subnormals=subnormals),
        )

    def take(self, classes: Indices) -> Pair:
        """Return the pair with only these classes, in this order."""
        return self._along(self.axis, classes)

    def take_rows(self, index: Indices) -> Pair:
        """Return the pair with only these entries of the first axis that is not the class axis.

        A 1-D pair is one row and is returned unchanged. An index may repeat: ``take_rows([0, 0, 0])`` makes
        three equal rows.
        """
        return self if self._leading is None else self._along(self._leading, index)

    def _along(self, axis: int, index: Indices) -> Pair:
        """Take along one axis of the broadcast shape; a side that is broadcast along it stays broadcast."""

        def side(measure: Measure) -> Measure:
            values = measure.values
            if values.ndim < -axis or (values.shape[axis] == 1 and self.shape[axis] != 1):
                return measure
            return Measure(np.take(values, index, axis=axis), measure.space)

        return replace(self, p=side(self.p), q=side(self.q))

    def flattened(self) -> Pair:
        """Return the same distributions as the rows of a matrix, classes last."""

        def side(measure: Measure) -> Measure:
            full = np.broadcast_to(measure.values, self.shape)
            if not full.ndim:
                return Measure(full.reshape(1, 1), measure.space)
            return Measure(np.moveaxis(full, self.axis, -1).reshape(-1, self.classes), measure.space)

        return replace(self, p=side(self.p), q=side(self.q), axis=-1)

    def moved(self, axis: int) -> Pair:
        """Return the same distributions with the class axis at another position; both sides are broadcast first."""

        def side(measure: Measure) -> Measure:
            full = np.broadcast_to(measure.values, self.shape)
            return Measure(np.moveaxis(full, self.axis, axis), measure.space)

        return replace(self, p=side(self.p), q=side(self.q), axis=axis)

    def with_values(self, p_values: NDArray[Any], q_values: NDArray[Any]) -> Pair:
        """Return the pair with other numbers in the same spaces."""
        return replace(self, p=Measure(p_values, self.p.space), q=Measure(q_values, self.q.space))


def product(first: Pair, second: Pair) -> Pair:
    """Return the pair of product measures, a·b classes from a and b: KL = P₂·KL₁ + P₁·KL₂.

    Parameters
    ----------
    first, second
        Pairs with classes last, in the same spaces, whose other axes broadcast.

    Raises
    ------
    ValueError
        The spaces differ, or the class axis is not the last.
    """
    if first.axis != -1 or second.axis != -1:
        raise ValueError("a product needs the class axis last in both pairs")

    def side(one: Measure, other: Measure) -> Measure:
        if one.space is not other.space:
            raise ValueError(f"a product needs one space, given {one.space.value} and {other.space.value}")
        left, right = one.values[..., :, np.newaxis], other.values[..., np.newaxis, :]
        whole = left * right if one.space is Space.PROBABILITY else left + right
        return Measure(whole.reshape(*whole.shape[:-2], -1), one.space)

    origin = f"({first.origin}) × ({second.origin})"
    return Pair(side(first.p, second.p), side(first.q, second.q), origin=origin)
