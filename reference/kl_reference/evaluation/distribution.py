"""Distribution: probabilities and their logarithms for a block of an operand, in any space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import ball
from kl_reference.bounds.ball import Ball
from kl_reference.bounds.double_double import ZEROS, Exponent
from kl_reference.bounds.scaled import Scaled
from kl_reference.convention import Space
from kl_reference.enclosure import Array

_EVERYWHERE: Final = np.ones((), np.bool_)


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Normalises rows to the sum 1: p = e^(x − origin)/total for logits x, p = x/origin/total for probabilities.

    ``origin`` and ``total`` have one entry per row, (*outer, 1). The origin is the largest logit, or a power of two; it
    is NaN for a row that has no normalised form. ``classes`` is the number of classes in a row.
    """

    origin: Array
    total: Ball
    classes: int

    def map_arrays(self, change: Callable[[Array], Array]) -> Normaliser:
        """Return the normaliser with a function applied to each of its arrays."""
        return Normaliser(change(self.origin), self.total.map_arrays(change), self.classes)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A block of rows × classes of one operand, in float64.

    Parameters
    ----------
    values
        The received values, (rows, classes); replaced by 1, or 0 for logarithms, where p is not ordinary.
    extended
        log p where it is −inf, +inf or NaN; 0 where p is an ordinary positive number; usually ``ZEROS``.
    ordinary
        Where p is a positive real number; it broadcasts.
    approximate_log
        log p to about float64, with the same −inf, +inf and NaN: for error scales and for float64 answers.
    space
        The space of the values.
    normaliser
        That of the rows, if there is one.
    mixture
        p after label smoothing, which is not a single float64; ``values`` are its approximation.
    """

    values: Array
    extended: Array
    ordinary: NDArray[np.bool_]
    approximate_log: Array
    space: Space
    normaliser: Normaliser | None
    mixture: Ball | None = None

    @classmethod
    def of(cls, received: Array, space: Space, normaliser: Normaliser | None) -> Distribution:
        """Separate the ordinary numbers from the special ones, which are excluded from all arithmetic."""
        probability = space is Space.PROBABILITY
        approximate = np.log(received) if probability else received
        if normaliser is None and np.isfinite(approximate).all():
            return cls(received, ZEROS, _EVERYWHERE, approximate, space, None)
        extended = np.where(np.isfinite(approximate), 0.0, approximate)
        if normaliser is not None:
            lost = np.isnan(normaliser.origin)
            origin = np.where(lost, 1.0, normaliser.origin)
            normaliser = Normaliser(origin, normaliser.total, normaliser.classes)
            distance = _log_quotient(received, origin) if probability else received - origin
            extended = np.where(lost, np.nan, extended)
            approximate = distance - np.log(normaliser.total.high)
        ordinary = np.equal(extended, 0.0)
        if ordinary.all():
            return cls(received, ZEROS, _EVERYWHERE, approximate, space, normaliser)
        received = np.where(ordinary, received, 1.0 if probability else 0.0)
        approximate = np.where(ordinary, approximate, extended)
        return cls(received, extended, ordinary, approximate, space, normaliser)

    @classmethod
    def smoothed(cls, received: Array, smoothing: float, classes: int) -> Distribution:
        """Mix probabilities with the uniform distribution: (1 − ε)·p + ε ÷ classes."""
        usual = np.isfinite(received) & (received >= 0.0)
        high, exponent = np.frexp(np.where(usual, received, 0.0))
        share = Ball.exact(np.full(received.shape, smoothing)) / Ball.exact(np.full(received.shape, float(classes)))
        mixture = (Ball.exact(high) * one_minus(smoothing)).scaled(exponent) + share
        return replace(cls.of(np.where(usual, mixture.high, received), Space.PROBABILITY, None), mixture=mixture)

    @property
    def exact(self) -> Array | None:
        """The probabilities, if they were received as such and are neither normalised nor smoothed; else None."""
        received = self.space is Space.PROBABILITY and self.normaliser is None and self.mixture is None
        return self.values if received else None

    @property
    def approximate(self) -> Array:
        """P to about float64, and 0 where it is not ordinary."""
        return masked(self.ordinary, np.exp(self.approximate_log) if self.exact is None else self.values)

    def log(self) -> Ball:
        """Return log p; arbitrary numbers where p is not ordinary."""
        if self.normaliser is None:
            if self.space is Space.LOG:
                return Ball.exact(self.values)
            return ball.log(self.mixture or Ball.exact(self.values))
        origin = np.broadcast_to(self.normaliser.origin, self.values.shape)
        distance = ball.log_quotient if self.space is Space.PROBABILITY else ball.difference
        return distance(self.values, origin) - ball.log(self.normaliser.total)

    def weight(self) -> Scaled:
        """Return p."""
        if self.space is not Space.PROBABILITY:
            m, k = ball.exp(self.log())
        else:
            high, k = np.frexp(self.values)
            m = self.mixture.scaled(-k) if self.mixture else Ball.exact(high)
            if self.normaliser is not None:
                m, k = m / self.normaliser.total, k - binary_exponent(self.normaliser.origin)
        if self.extended is ZEROS:
            return Scaled(m, k, ZEROS)
        special = np.where(self.extended == -np.inf, 0.0, self.extended)
        # An exact 0 with a large exponent would later be rounded to multiples of that power of two.
        return Scaled(m.masked(self.ordinary), np.where(self.ordinary, k, 0), special)


def one_minus(smoothing: float) -> Ball:
    """Return 1 − ε, which need not be a float64."""
    return ball.difference(np.ones((1, 1)), np.full((1, 1), smoothing))


def _log_quotient(a: Array, power: Array) -> Array:
    """Return log(a ÷ 2^k), from the exact quotient if it is a normal number, so that a ≈ 2^k loses no accuracy."""
    quotient = a / power
    exact = quotient >= np.finfo(np.float64).smallest_normal
    return np.where(exact, np.log(quotient), np.log(a) - np.log(power))


def masked(where: NDArray[np.bool_], values: Array) -> Array:
    """Return the values where the mask is true, and 0 elsewhere."""
    return values if where.all() else np.where(where, values, 0.0)


def binary_exponent(power: Array) -> Exponent:
    """Return k of 2^k."""
    return np.frexp(power)[1] - 1
