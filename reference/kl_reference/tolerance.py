"""tolerance(): the error budget of an implementation, item by item, for its Profile of arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, assert_never

import numpy as np

from kl_reference import fast_math
from kl_reference.convention import Reduction
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array, Enclosure
from kl_reference.evaluation.condition import ELEMENTARY, summation_growth
from kl_reference.problem import Problem

Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

_MEANS: Final = (Reduction.MEAN, Reduction.BATCHMEAN, Reduction.ROWMEAN)
_HALF: Final = (Dtype.FLOAT16, Dtype.BFLOAT16)


class Summation(Enum):
    """How an implementation may sum n terms; the value is the growth h(n) of the rounding error as a formula."""

    BLOCKED = "2·√n"
    PAIRWISE = "2·log₂ n"
    ANY = "n − 1"

    def growth(self, count: int) -> float:
        """Return h(n), at most n − 1, the growth for the least favourable order."""
        worst = max(count - 1.0, 0.0)
        match self:
            case Summation.BLOCKED:
                return summation_growth(count)
            case Summation.PAIRWISE:
                return min(worst, 2.0 * math.log2(max(count, 1)))
            case Summation.ANY:
                return worst
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Profile:
    """The arithmetic that an implementation declares.

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
        Absolute error of log x for x in [1/2, 2], in u of ``compute``, if larger: fast logarithms have such an absolute
        error even for x next to 1.
    steepness
        Growth of a in exp x per unit of |x|: fast exponentials round x·log₂ e.
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
        """Return the profile of operation-by-operation evaluation in a framework; 16-bit formats are summed in float32.

        a = 4 covers every logarithm and exponential measured or documented for float64 and float32, a = 2 those of the
        16-bit formats, which are computed in float32 and rounded once.
        """
        if dtype in _HALF:
            return cls(dtype, dtype, Dtype.FLOAT32, elementary=2.0)
        return cls(dtype, dtype, dtype)

    @classmethod
    def fused(cls, dtype: Dtype) -> Profile:
        """Return the profile of one kernel that reads and writes ``dtype`` and computes in float32 or better."""
        inside = Dtype.FLOAT32 if dtype in _HALF else dtype
        return cls(dtype, inside, inside)

    @classmethod
    def fast(cls, dtype: Dtype) -> Profile:
        """Return the profile of one kernel that computes in float32 with ``nvcc --use_fast_math``.

        __logf errs by at most 2^-21.41 for x in [1/2, 2] and by 3 ulp elsewhere, __expf by 2 + ⌊1.173·|x|⌋ ulp,
        a division by 2 ulp; subnormal numbers of float32 are 0. (Those of float16 are not: they are normal numbers of
        float32.) float64 has no fast functions.

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
            elementary=6.0,  # 3 ulp; an ulp is at most 2 u
            near_one=2.0**-21.4
            / inside.roundoff,  # slightly more than 2^-21.41, to cover the roundings of the error itself
            steepness=2.0 * 1.173,
            division=4.0,
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """One item of a tolerance: its name, its amount at every element, and its reason as a sentence."""

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
    """The largest accepted distance of an answer from an Enclosure's midpoint, as a sum of items.

    ``unit``, of the answer's shape, is the unit of :meth:`budget`, and ``unit_sentence`` describes it; ``total``
    is the sum of all items.
    """

    allowances: tuple[Allowance, ...]
    unit: Array
    unit_sentence: str
    total: Array = field(init=False)

    def __post_init__(self) -> None:
        """Compute the sum of all items once."""
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
    """Return the tolerance of a problem's answer for implementations with the given profile.

    (a + 2)·u·S + u·(pipeline) + h(n)·u_acc·T + u_out·|v| + underflow + radius, with S, T, n and the rest from
    ``enclosure.scale``; it is 0 wherever the answer is infinite or NaN. For a gradient, pass the enclosure of
    the gradient. A profile whose log, exp or division is less accurate than the scales assume has up to four
    more items, from :mod:`~kl_reference.fast_math`.
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
        *_fast_math_allowances(problem, enclosure, profile),
        Allowance("pipeline", compute.roundoff * scale.fixed, "error of softmax, normalisation or gradient"),
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
    # u·S may underflow; it is a unit of display only and allows nothing.
    unit = np.where(named > 0.0, np.maximum(store.roundoff * named, 5e-324), store.least_subnormal)
    sentence = f"u·S, with u of {store.label} and S the condition of the answer, or its size without one"
    return Tolerance(allowances, unit, sentence)


def _fast_math_allowances(problem: Problem, enclosure: Enclosure, profile: Profile) -> tuple[Allowance, ...]:
    """Return the items for log, exp and division that are less accurate than the scales assume; usually none."""
    relative = max(profile.elementary - ELEMENTARY, 0.0)
    sizes = relative, profile.near_one, profile.steepness, profile.division - 1.0
    if not any(sizes):
        return ()
    extra, slope = fast_math.FastMathError.separate(*sizes), enclosure.slope
    errors = (
        fast_math.answer_error(problem, extra) if slope is None else fast_math.gradient_error(problem, slope, extra)
    )
    if errors.shape[1:] != enclosure.value.shape:  # a second derivative: no bounds are derived for it
        return ()
    names = (
        ("pipeline's log and exp", f"{relative:g} u more of either in softmax or gradient"),
        ("logarithm near 1", f"log x to {profile.near_one:.3g} u where x is in [1/2, 2], however small"),
        ("steep exp", f"exp x to {profile.steepness:.3g}·|x| u more"),
        ("division", f"a division to {profile.division:g} u, in normalisation or gradient"),
    )
    errs = _may_err(enclosure)
    return tuple(
        Allowance(name, np.where(errs, profile.compute.roundoff * _nan_to_inf(error), 0.0), sentence)
        for size, error, (name, sentence) in zip(sizes, errors, names, strict=True)
        if size > 0.0
    )


def accepts_overflow(enclosure: Enclosure, tolerance: Tolerance, dtype: Dtype) -> Mask:
    """Return where an infinity is accepted in place of a number: |value| + tolerance ≥ MAX·(1 − u)."""
    return np.abs(enclosure.value) + tolerance.total >= dtype.largest * (1.0 - dtype.roundoff)


def vacuous(enclosure: Enclosure, tolerance: Tolerance) -> str | None:
    """Return why a problem proves nothing (a trivial answer would pass), or None."""
    value, total = enclosure.value, tolerance.total
    if value.size == 0:
        return "an empty answer would pass"
    if _passes(enclosure, total, np.zeros_like(value)):
        return "an all-zero answer would pass"
    if _passes(enclosure, total, -value):
        return "a sign-flipped answer would pass"
    if value.size == 1:
        return None
    # The midpoint of the intersection of all intervals, if there is one; for non-finite values, the first of them.
    finite = np.isfinite(value)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = 0.5 * (np.max(value - total) + np.min(value + total))
    constant = np.full_like(value, middle if np.all(finite) else value[~finite].flat[0])
    return "a constant answer would pass" if _passes(enclosure, total, constant) else None


def _passes(enclosure: Enclosure, total: Array, got: Array) -> bool:
    return bool((np.abs(enclosure.error(got)) <= total).all())


def _underflow(enclosure: Enclosure, profile: Profile) -> Array:
    """Return the underflow error: that of the terms in ``compute``, and one more when the result is stored."""
    scale, store, compute = enclosure.scale, profile.storage, profile.compute
    floor = scale.gradual * compute.least_subnormal + store.least_subnormal
    if profile.flush_to_zero:
        floor = floor + scale.flushed * compute.least_normal + store.least_normal
    return np.where(_may_err(enclosure), floor, 0.0)


def _may_err(enclosure: Enclosure) -> Mask:
    """Return where an answer may be inexact: it is exact where no term can underflow, because every p is 0."""
    return np.asarray(enclosure.scale.gradual + enclosure.scale.flushed > 0.0)


def _nan_to_inf(error: Array) -> Array:
    """Return an error with NaN, the product of 0 and an infinity, replaced by infinity."""
    return np.where(np.isnan(error), np.inf, error)


def _underflow_sentence(profile: Profile) -> str:
    if profile.flush_to_zero:
        return f"numbers below {profile.compute.least_normal:.3g} are flushed to 0"
    return f"products below {profile.compute.least_normal:.3g} lose digits"
