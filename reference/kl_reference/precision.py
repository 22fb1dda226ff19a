"""How far an implementation may lie from the true answer, item by item."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, assert_never

import numpy as np

from kl_reference import fast
from kl_reference.condition import ELEMENTARY, blocked
from kl_reference.convention import Reduction
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array, Enclosure
from kl_reference.problem import Problem

Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

_MEANS: Final = (Reduction.MEAN, Reduction.BATCHMEAN, Reduction.ROWMEAN)
_HALF: Final = (Dtype.FLOAT16, Dtype.BFLOAT16)


class Summation(Enum):
    """How an implementation may add up n terms; the value is the growth of its rounding, h(n), in words."""

    BLOCKED = "2·√n"
    PAIRWISE = "2·log₂ n"
    ANY = "n − 1"

    def growth(self, count: int) -> float:
        """Return h(n), never more than the n − 1 of the most careless order."""
        careless = max(count - 1.0, 0.0)
        match self:
            case Summation.BLOCKED:
                return blocked(count)
            case Summation.PAIRWISE:
                return min(careless, 2.0 * math.log2(max(count, 1)))
            case Summation.ANY:
                return careless
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Profile:
    """The arithmetic an implementation declares.

    Parameters
    ----------
    storage, compute, accumulate
        Formats of inputs and outputs, of the operations on one term, and of sums.
    flush_to_zero
        Whether subnormal numbers are read and written as 0.
    elementary
        a, the relative error of log and exp in u of ``compute``.
    summation
        The order of sums.
    near_one
        Absolute error of log x for x in [1/2, 2], in u of ``compute``, where that is more: fast logarithms have
        one, however near 1 x is.
    steepness
        What a grows by in exp x for every unit of |x|: fast exponentials round x·log₂ e.
    division
        Relative error of a division in u of ``compute``.
    """

    storage: Dtype
    compute: Dtype
    accumulate: Dtype
    flush_to_zero: bool = False
    elementary: float = 4.0
    summation: Summation = Summation.BLOCKED
    near_one: float = 0.0
    steepness: float = 0.0
    division: float = 1.0

    @classmethod
    def of(cls, dtype: Dtype) -> Profile:
        """Return what frameworks do operation by operation: 16-bit formats are summed in float32.

        a = 4 covers every logarithm and exponential measured or documented for float64 and float32 (NUMERICS
        2.1), a = 2 those of the 16-bit formats, which are computed in float32 and rounded once.
        """
        if dtype in _HALF:
            return cls(dtype, dtype, Dtype.FLOAT32, elementary=2.0)
        return cls(dtype, dtype, dtype)

    @classmethod
    def fused(cls, dtype: Dtype) -> Profile:
        """Return what one kernel does that reads and writes ``dtype`` and computes in float32 or better."""
        inside = Dtype.FLOAT32 if dtype in _HALF else dtype
        return cls(dtype, inside, inside)

    @classmethod
    def fast(cls, dtype: Dtype) -> Profile:
        """Return what one kernel does that computes in float32 as ``nvcc --use_fast_math`` lets GPUs compute.

        __logf errs by at most 2^-21.41 for x in [1/2, 2] and by 3 ulp elsewhere, __expf by 2 + ⌊1.173·|x|⌋ ulp,
        a division by 2 ulp; subnormal numbers of float32 are 0. (Those of float16 are not: float32 holds them
        as normal ones.) float64 has no fast functions.

        Source: CUDA C++ programming guide, mathematical functions, intrinsic functions,
        https://docs.nvidia.com/cuda/cuda-c-programming-guide/#intrinsic-functions
        """
        if dtype is Dtype.FLOAT64:
            return cls.of(dtype)
        inside = Dtype.FLOAT32
        return cls(
            dtype,
            inside,
            inside,
            flush_to_zero=dtype is not Dtype.FLOAT16,
            elementary=6.0,  # 3 ulp, of 2 u each at most
            near_one=2.0**-21.4 / inside.roundoff,  # with room for roundings of the error itself
            steepness=2.0 * 1.173,
            division=4.0,
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """One item of a tolerance: its name, its amount at every element, and the reason for it."""

    name: str
    amount: Array
    sentence: str


@dataclass(frozen=True, slots=True)
class BudgetItem:
    """One item of a tolerance at one element: name, amount in units, the reason for it, and the unit in words."""

    name: str
    amount: float
    reason: str
    unit: str


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an answer may lie from an Enclosure's centre, itemised.

    ``unit``, of the answer's shape, is what :meth:`budget` counts in, and ``unit_sentence`` what that is; ``total``
    is the sum of all items.
    """

    allowances: tuple[Allowance, ...]
    unit: Array
    unit_sentence: str
    total: Array = field(init=False)

    def __post_init__(self) -> None:
        """Add up all items, once."""
        total = np.asarray(sum(allowance.amount for allowance in self.allowances))
        object.__setattr__(self, "total", total)

    def budget(self, index: tuple[int, ...] = ()) -> tuple[BudgetItem, ...]:
        """Return the items that make up at least a thousandth of the total at one element."""
        unit, total = float(self.unit[index]), float(self.total[index])
        amounts = [(float(item.amount[index]), item) for item in self.allowances]
        return tuple(
            BudgetItem(item.name, amount / unit, item.sentence, f"{unit:.3g} = {self.unit_sentence}")
            for amount, item in amounts
            if amount > 0.0 and amount >= 1e-3 * total
        )


def tolerance(problem: Problem, enclosure: Enclosure, profile: Profile) -> Tolerance:
    """Return how far an implementation of that profile may lie from the enclosure of that problem.

    (a + 2)·u·S + u·(pipeline) + h(n)·u_acc·T + u_out·|v| + underflow + radius, with S, T, n and the rest from
    ``enclosure.scale``; it is 0 wherever the answer is infinite or NaN. For a gradient pass the enclosure of
    the gradient. Source: NUMERICS 2.2. Profiles whose log and exp are worse than the scales assume have up to
    three items more, from :mod:`~kl_reference.fast`.
    """
    with np.errstate(all="ignore"):
        return _tolerance(problem, enclosure, profile)


def _tolerance(problem: Problem, enclosure: Enclosure, profile: Profile) -> Tolerance:
    scale = enclosure.scale
    store, compute = profile.storage, profile.compute
    size = np.where(np.isfinite(enclosure.value), np.abs(enclosure.value), 0.0)
    a, growth = profile.elementary, profile.summation.growth(scale.count)
    output, output_sentence = store.roundoff * size, "the result is rounded once"
    if problem.reduction in _MEANS:
        output, output_sentence = 3.0 * output, "the result is divided, scaled and rounded"
        output = output + (profile.division - 1.0) * compute.roundoff * size
        if store in _HALF:
            output = output + store.roundoff * scale.magnitude
            output_sentence += ", and sums of rows may be stored on the way"
    allowances = (
        Allowance(
            "conditioning",
            (a + 2.0) * compute.roundoff * scale.condition,
            f"log and exp to {a:g} u, and two roundings more",
        ),
        *_careless(problem, enclosure, profile),
        Allowance("pipeline", compute.roundoff * scale.fixed, "what softmax, normalisation or gradient adds"),
        Allowance(
            "summation",
            growth * profile.accumulate.roundoff * scale.magnitude if growth else np.zeros_like(size),
            f"{scale.count} terms added up in {profile.accumulate.label}, h = {growth:.4g}",
        ),
        Allowance("output rounding", output, output_sentence),
        Allowance("underflow", _underflow(enclosure, profile), _underflow_sentence(profile)),
        Allowance("reference", enclosure.radius, "the reference's own radius"),
    )
    named = np.where(scale.condition > 0.0, scale.condition, size)
    # u·S itself may underflow; it is only counted in, never allowed.
    unit = np.where(named > 0.0, np.maximum(store.roundoff * named, 5e-324), store.least_subnormal)
    sentence = f"u·S, with u of {store.label} and S the condition of the answer, or its size without one"
    return Tolerance(allowances, unit, sentence)


def _careless(problem: Problem, enclosure: Enclosure, profile: Profile) -> tuple[Allowance, ...]:
    """Return what is allowed for log, exp and division that are worse than the scales assume; mostly nothing."""
    relative = max(profile.elementary - ELEMENTARY, 0.0)
    sizes = relative, profile.near_one, profile.steepness, profile.division - 1.0
    if not any(sizes):
        return ()
    excess, slope = fast.Excess.apart(*sizes), enclosure.slope
    errors = fast.of_answer(problem, excess) if slope is None else fast.of_gradient(problem, slope, excess)
    if errors.shape[1:] != enclosure.value.shape:  # a second derivative, of which nothing is known here
        return ()
    names = (
        ("pipeline's log and exp", f"{relative:g} u more of either in softmax or gradient"),
        ("logarithm near 1", f"log x to {profile.near_one:.3g} u where x is in [1/2, 2], however small"),
        ("steep exp", f"exp x to {profile.steepness:.3g}·|x| u more"),
        ("division", f"a division to {profile.division:g} u, in normalisation or gradient"),
    )
    errs = _may_err(enclosure)
    return tuple(
        Allowance(name, np.where(errs, profile.compute.roundoff * _unless_nan(error), 0.0), sentence)
        for size, error, (name, sentence) in zip(sizes, errors, names, strict=True)
        if size > 0.0
    )


def accepts_overflow(enclosure: Enclosure, tolerance: Tolerance, dtype: Dtype) -> Mask:
    """Return where an infinity is as right as a number: |value| + tolerance ≥ MAX·(1 − u)."""
    return np.abs(enclosure.value) + tolerance.total >= dtype.largest * (1.0 - dtype.roundoff)


def vacuous(enclosure: Enclosure, tolerance: Tolerance) -> str | None:
    """Return why a problem proves nothing, because an answer without any thought would pass, or None."""
    value, total = enclosure.value, tolerance.total
    if value.size == 0:
        return "an empty answer would pass"
    if _passes(enclosure, total, np.zeros_like(value)):
        return "an all-zero answer would pass"
    if _passes(enclosure, total, -value):
        return "a sign-flipped answer would pass"
    if value.size == 1:
        return None
    # The middle of what all intervals share, if they share anything; an infinity or NaN stands for itself.
    finite = np.isfinite(value)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = 0.5 * (np.max(value - total) + np.min(value + total))
    constant = np.full_like(value, middle if np.all(finite) else value[~finite].flat[0])
    return "a constant answer would pass" if _passes(enclosure, total, constant) else None


def _passes(enclosure: Enclosure, total: Array, got: Array) -> bool:
    return bool((np.abs(enclosure.error(got)) <= total).all())


def _underflow(enclosure: Enclosure, profile: Profile) -> Array:
    """Return the floor: the terms' own underflows in ``compute``, and one more when the result is stored."""
    scale, store, compute = enclosure.scale, profile.storage, profile.compute
    floor = scale.gradual * compute.least_subnormal + store.least_subnormal
    if profile.flush_to_zero:
        floor = floor + scale.flushed * compute.least_normal + store.least_normal
    return np.where(_may_err(enclosure), floor, 0.0)


def _may_err(enclosure: Enclosure) -> Mask:
    """Return where an answer is not exact: where no term can underflow, because every p is 0, it is."""
    return np.asarray(enclosure.scale.gradual + enclosure.scale.flushed > 0.0)


def _unless_nan(error: Array) -> Array:
    """Return an error, infinite where it is the product of 0 and an infinity."""
    return np.where(np.isnan(error), np.inf, error)


def _underflow_sentence(profile: Profile) -> str:
    if profile.flush_to_zero:
        return f"numbers below {profile.compute.least_normal:.3g} are flushed to 0"
    return f"products below {profile.compute.least_normal:.3g} lose digits"
