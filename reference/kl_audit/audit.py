"""Audits: every function of the reference is compared with its documented bound."""

import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from kl_audit import hard_inputs, oracle
from kl_audit.hard_inputs import Array
from kl_reference import (
    Dtype,
    Enclosure,
    Formula,
    Operand,
    Problem,
    Reduction,
    Scale,
    Side,
    Space,
    answer,
    gradient,
    log_softmax,
    softmax,
)
from kl_reference.bounds import ball
from kl_reference.bounds.ball import Ball
from kl_reference.evaluation.blocks import BLOCK

Audit = Callable[[np.random.Generator, int], float]
"""Returns the largest error ÷ bound over about the requested number of problems."""

SPACES = tuple(itertools.product(Space, Space))
ROWS = 5
CLASSES = 3
# One class less than a number of blocks: every level of the summation tree has an odd length. In a narrow dtype the
# last length is too large for double-double.
LONG = (12 * BLOCK - 1, 122 * BLOCK - 1, 257 * BLOCK - 1)
DIFFERENT = 60
MODERATE = ["uniform", "neighbours", "near", "float32"]


def _pairs(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Return about this number of pairs of positive numbers, from all families."""
    share = (-(-count // len(hard_inputs.FAMILIES)),)
    parts = [family(rng, share) for family in hard_inputs.FAMILIES.values()]
    return np.concatenate([p for p, _ in parts]), np.concatenate([q for _, q in parts])


def _balls(rng: np.random.Generator, count: int) -> Ball:
    """Return numbers of either sign and of moderate size, with all digits of both parts in use."""
    high = rng.normal(size=count) * np.exp2(rng.integers(-20, 20, count).astype(np.float64))
    return Ball.exact(high, high * rng.uniform(-0.5, 0.5, count) * 2.0**-53)


def _error_ratio(result: Ball, truth: Any) -> float:
    zero = np.zeros(())
    low, error = (np.broadcast_to(part, result.high.shape) for part in (result.low, result.error))
    enclosure = Enclosure(result.high, low, error, Scale(zero, zero, zero, zero, zero, 1))
    return oracle.error_ratio(enclosure, truth)


def _centre(number: Ball) -> Any:
    return oracle.exact(number.high) + oracle.exact(number.low)


def _log(rng: np.random.Generator, count: int) -> float:
    values, _ = _pairs(rng, count)
    ones = np.ones_like(values)
    return _error_ratio(ball.log_quotient(values, ones), oracle.log(oracle.exact(values)))


def _log_of_single_number(rng: np.random.Generator, count: int) -> float:
    values, _ = _pairs(rng, count)
    return _error_ratio(ball.log(Ball.exact(values)), oracle.log(oracle.exact(values)))


def _log_quotient(rng: np.random.Generator, count: int) -> float:
    p, q = _pairs(rng, count)
    return _error_ratio(ball.log_quotient(p, q), oracle.log(oracle.exact(p) / oracle.exact(q)))


def _log_sum(rng: np.random.Generator, count: int) -> float:
    """The logarithm of a number of two parts, such as a sum of exponentials."""
    high = 1.0 + np.exp(rng.uniform(-80.0, 12.0, count))
    number = Ball.exact(high, np.spacing(high) * rng.uniform(-0.5, 0.5, count))
    return _error_ratio(ball.log(number), oracle.log(_centre(number)))


def _exp(rng: np.random.Generator, count: int) -> float:
    small, wide = rng.uniform(-1.0, 1.0, count // 2), rng.uniform(-800.0, 700.0, count - count // 2)
    high = np.concatenate([small * np.exp2(-rng.integers(0, 60, small.size).astype(np.float64)), wide])
    spread = np.abs(high) * rng.choice([0.0, 1e-20, 1e-3], count)
    centre = Ball(high, high * rng.uniform(-0.5, 0.5, count) * 2.0**-53, spread)
    m, k = ball.exp(centre)
    powers = np.array([mpmath.mpf(2) ** int(each) for each in k], dtype=object)
    off = oracle.exact(rng.uniform(-1.0, 1.0, count)) * oracle.exact(spread)
    return _error_ratio(m, oracle.exp(_centre(centre) + off) / powers)


def _arithmetic(rng: np.random.Generator, count: int) -> float:
    a, b = _balls(rng, count), _balls(rng, count)
    near = Ball.exact(-a.high, b.low * 2.0**-40)
    x, y, z = _centre(a), _centre(b), _centre(near)
    wide = Ball(b.high, b.low, np.abs(b.high) * 1e-12)
    off = y + oracle.exact(rng.uniform(-1.0, 1.0, count)) * oracle.exact(wide.error)
    return max(
        _error_ratio(a + b, x + y),
        _error_ratio(a + near, x + z),
        _error_ratio(a * b, x * y),
        _error_ratio(a / b, x / y),
        _error_ratio(a - wide, x - off),
        _error_ratio(a * wide, x * off),
        _error_ratio(a / wide, x / off),
    )


def _single_numbers(rng: np.random.Generator, count: int) -> float:
    """Arithmetic between double-double and single float64 numbers, which has separate code paths."""
    a, b, c = _balls(rng, count), Ball.exact(rng.normal(size=count)), Ball.exact(rng.normal(size=count))
    near = Ball.exact(-a.high)
    x, y, z = _centre(a), oracle.exact(b.high), oracle.exact(c.high)
    return max(
        _error_ratio(a + b, x + y),
        _error_ratio(a + near, oracle.exact(a.low)),
        _error_ratio(b - a, y - x),
        _error_ratio(b + c, y + z),
        _error_ratio(a * b, x * y),
        _error_ratio(b * a, x * y),
        _error_ratio(b * c, y * z),
        _error_ratio(a / b, x / y),
        _error_ratio(b / c, y / z),
    )


def _sum(rng: np.random.Generator, count: int) -> float:
    worst = 0.0
    for length in rng.integers(1, 40, max(count // 20, 1)):
        terms = _balls(rng, int(length))
        terms = Ball(terms.high, terms.low, np.abs(terms.high) * rng.choice([0.0, 1e-20]))
        off = oracle.exact(rng.uniform(-1.0, 1.0, terms.high.shape)) * oracle.exact(terms.error)
        total = np.asarray([np.sum(_centre(terms) + off)], dtype=object)
        worst = max(worst, _error_ratio(terms.sum(0), total))
    return worst


def _problems(rng: np.random.Generator, count: int, reduction: Reduction) -> float:
    """Problems of a few rows of three classes, of every formula, in all spaces, of all families."""
    worst = 0.0
    families, formulas = list(hard_inputs.FAMILIES), list(Formula)
    rows = ROWS if reduction in (Reduction.TERMS, Reduction.ROWS) else 2
    for index in range(-(-count // (rows if reduction in (Reduction.TERMS, Reduction.ROWS) else 1))):
        target, model = SPACES[index % len(SPACES)]
        family = families[(index // len(SPACES) + index) % len(families)]
        formula = formulas[int(rng.integers(len(formulas)))]
        pair = hard_inputs.operands(rng, family, (rows, CLASSES), target, model)
        normalise = bool(rng.integers(4) == 0)
        problem = Problem(*pair, formula, reduction, normalise=normalise)
        worst = max(worst, oracle.error_ratio(answer(problem), oracle.answer(problem)))
    return worst


def _reducing(reduction: Reduction) -> Audit:
    return lambda rng, count: _problems(rng, count, reduction)


def _long_rows(rng: np.random.Generator, count: int) -> float:
    """Rows of up to two million classes with few different values, so that 70 digits are within the effort."""
    worst = 0.0
    for index in range(2 + count // 2000):
        length = LONG[index % len(LONG)]
        target, model = SPACES[int(rng.integers(len(SPACES)))]
        formula = list(Formula)[int(rng.integers(len(Formula)))]
        dtype, families = Dtype.FLOAT64, list(hard_inputs.FAMILIES)
        if length == max(LONG):
            # The other families exceed the range of a narrow dtype.
            dtype, families = Dtype.FLOAT32, ["uniform", "near", "next to one", "float32"]
        pair = hard_inputs.operands(rng, families[index % len(families)], (1, DIFFERENT), target, model)
        few = [Operand.of(side.values, side.space, dtype) for side in pair]
        place = rng.integers(DIFFERENT, size=length)
        many = [Operand(side.values[:, place], side.space, dtype) for side in few]
        rest = formula, Reduction.ROWS if rng.integers(2) else Reduction.SUM
        normalise = bool(rng.integers(4) == 0)
        truth = oracle.answer(
            Problem(few[0], few[1], *rest, normalise=normalise), np.bincount(place, minlength=DIFFERENT)
        )
        result = answer(Problem(many[0], many[1], *rest, normalise=normalise))
        worst = max(worst, oracle.error_ratio(result, truth))
    return worst


def _softmax(rng: np.random.Generator, count: int) -> float:
    worst = 0.0
    for _ in range(-(-count // ROWS)):
        scale = 10.0 ** rng.uniform(-1.0, 8.0)
        logits = Operand.of(rng.normal(size=(ROWS, CLASSES)) * scale, Space.LOGITS)
        logs = oracle.log_softmax(logits.values)
        worst = max(worst, oracle.error_ratio(log_softmax(logits), logs))
        with mpmath.workdps(oracle.DIGITS):
            worst = max(worst, oracle.error_ratio(softmax(logits), oracle.exp(logs)))
    return worst


def _gradient(rng: np.random.Generator, count: int) -> float:
    """One entry of the gradient, by either side, of problems of moderate size."""
    worst = 0.0
    reductions, formulas = list(Reduction), list(Formula)
    for index in range(-(-count // 2)):
        target, model = SPACES[index % len(SPACES)]
        formula = formulas[int(rng.integers(len(formulas)))]
        reduction = reductions[int(rng.integers(len(reductions)))]
        family = str(rng.choice(MODERATE))
        p, q = hard_inputs.operands(rng, family, (2, CLASSES), target, model)
        if rng.integers(3) == 0:
            q = Operand(q.values[0], q.space, q.dtype)
        problem = Problem(p, q, formula, reduction, normalise=bool(rng.integers(4) == 0))
        upstream = rng.normal(size=answer(problem).value.shape)
        for side in Side:
            worst = max(worst, _entry(rng, problem, side, upstream))
    return worst


def _smoothed(rng: np.random.Generator, count: int) -> float:
    """Answers, and one entry of the gradient by either side, of targets mixed with the uniform distribution."""
    worst = 0.0
    families, reductions, formulas = list(hard_inputs.FAMILIES), list(Reduction), list(Formula)
    for index in range(-(-count // 3)):
        family = families[index % len(families)]
        model = list(Space)[int(rng.integers(len(Space)))]
        formula = formulas[int(rng.integers(len(formulas)))]
        reduction = reductions[int(rng.integers(len(reductions)))]
        smoothing = float(rng.choice([0.1, 1e-9, 2.0**-60, 1.0, rng.uniform()]))
        p, q = hard_inputs.operands(rng, family, (2, CLASSES), Space.PROBABILITY, model)
        problem = Problem(p, q, formula, reduction, smoothing=smoothing)
        exact = answer(problem)
        worst = max(worst, oracle.error_ratio(exact, oracle.answer(problem)))
        if family in MODERATE:  # differences of the other families overflow
            upstream = rng.normal(size=exact.value.shape)
            worst = max(worst, *(_entry(rng, problem, side, upstream) for side in Side))
    return worst


def _entry(rng: np.random.Generator, problem: Problem, side: Side, upstream: Array) -> float:
    """Return error ÷ bound at one entry of a gradient with respect to a positive finite value."""
    values = problem.side(side).values
    place = tuple(int(rng.integers(length)) for length in values.shape)
    if values[place] == 0.0 or not np.isfinite(values[place]):
        return 0.0
    result = gradient(problem, side, upstream)
    # The difference itself is accurate to 40 digits of its operands.
    radius = result.radius[place] + 1e-40 * result.scale.magnitude[place]
    value, tail = np.asarray(result.value[place]), np.asarray(result.tail[place])
    entry = Enclosure(value, tail, np.asarray(radius), result.scale)
    truth = oracle.derivative(problem, side, place, upstream)
    return oracle.error_ratio(entry, np.asarray(truth, dtype=object))


def _precisely(audit: Audit) -> Audit:
    def with_all_digits(rng: np.random.Generator, count: int) -> float:
        with mpmath.workdps(oracle.DIGITS), np.errstate(all="ignore"):
            return audit(rng, count)

    return with_all_digits


_BY_NAME: dict[str, Audit] = {
    "log": _log,
    "log of a single number": _log_of_single_number,
    "log quotient": _log_quotient,
    "log of a sum": _log_sum,
    "exp": _exp,
    "arithmetic": _arithmetic,
    "arithmetic with single numbers": _single_numbers,
    "sum": _sum,
    "softmax": _softmax,
    "gradient": _gradient,
    "smoothed targets": _smoothed,
    **{f"answer, {reduction.value}": _reducing(reduction) for reduction in Reduction},
    "answer, long rows": _long_rows,
}
AUDITS: dict[str, Audit] = {name: _precisely(audit) for name, audit in _BY_NAME.items()}
