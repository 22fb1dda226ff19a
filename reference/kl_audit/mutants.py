"""Mutants of the reference: small faults that the audits must detect."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from kl_reference.bounds import ball, scaled, tables
from kl_reference.bounds import double_double as dd
from kl_reference.bounds.ball import Ball
from kl_reference.bounds.double_double import Pair
from kl_reference.enclosure import Array


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: an attribute of a module or class and its faulty replacement."""

    name: str
    owner: ModuleType | type
    attribute: str
    replacement: Any


def _with_entry(column: Array, cell: int, change: Callable[[float], float]) -> Array:
    """Return a table with one entry changed."""
    changed = column.copy()
    changed[cell] = change(float(column[cell]))
    return changed


def _rounded_sum(a: Array, b: Array) -> Pair:
    return a + b, np.zeros_like(a + b)


def _rounded_product(a: Array, b: Array) -> Pair:
    return a * b, np.zeros_like(a * b)


def _careless_add(a: Pair, b: Pair) -> Pair:
    """A sum without the low parts, which loses all digits if the high parts cancel."""
    high, low = dd.two_sum(a[0], b[0])
    return dd.quick_two_sum(high, low)


def _sum_without_the_only_low_part(a: Pair, b: Pair) -> Pair:
    return dd.two_sum(a[0], b[0]) if a[1] is dd.ZEROS or b[1] is dd.ZEROS else _ADD(a, b)


def _product_without_the_only_low_part(a: Pair, b: Pair) -> Pair:
    return dd.two_prod(a[0], b[0]) if a[1] is dd.ZEROS or b[1] is dd.ZEROS else _MULTIPLY(a, b)


def _product_without_one_cross_term(a: Pair, b: Pair) -> Pair:
    high, low = dd.two_prod(a[0], b[0])
    return dd.quick_two_sum(high, low + a[0] * b[1])


def _rounded_quotient(a: Pair, b: Pair) -> Pair:
    return a[0] / b[0], np.zeros_like(a[0])


def _rounded_single_quotient(a: Pair, b: Array) -> Pair:
    return a[0] / b, np.zeros_like(b)


def _sum_without_odd_ones(a: Pair, axis: int) -> tuple[Pair, int]:
    even = a[0].shape[axis] // 2 * 2 or 1
    return _TOTAL((a[0].take(range(even), axis), a[1].take(range(even), axis)), axis)


def _shallow_sum(a: Pair, axis: int) -> tuple[Pair, int]:
    high = np.sum(a[0], axis=axis, keepdims=True)
    return (high, np.zeros_like(high)), 1


def _difference_of_logs(a: Array, b: Array) -> Ball:
    """Log a − log b, with the bound of log(a ÷ b)."""
    one = np.ones_like(a)
    high, low = dd.add(dd.log_quotient((a, 0.0 * a), one), dd.log_quotient((1.0 / b, 0.0 * b), one))
    return Ball(high, low, ball.E_LOG * np.abs(high) + ball.E_UNDERFLOW)


def _product_of_exact_numbers(a: Ball, b: Ball) -> Ball:
    high, low = dd.multiply(a.pair, b.pair)
    return Ball(high, low, ball.E_MULTIPLY * np.abs(high) + ball.E_UNDERFLOW)


def _sum_of_exact_numbers(a: Ball, axis: int) -> Ball:
    (high, low), _ = dd.total(a.pair, axis)
    return Ball(high, low, ball.E_ADD * np.sum(np.abs(a.high), axis=axis, keepdims=True))


def _fold_without_odd_ones(a: Ball, count: int) -> Ball:
    while (half := a.high.shape[1] // 2) >= count:
        a = a.columns(0, half) + a.columns(half, 2 * half)
    return a


def _exp_of_exact_numbers(a: Ball) -> tuple[Ball, dd.Exponent]:
    return _EXP(Ball(a.high, a.low, np.zeros_like(a.high)))


def _not_scaled(a: Ball, exponent: Any) -> Ball:
    return a


_ADD, _MULTIPLY, _TOTAL, _EXP = dd.add, dd.multiply, dd.total, ball.exp

MUTANTS: tuple[Mutant, ...] = (
    Mutant("log 2 without its low part", tables, "LN2_LOW", 0.0),
    Mutant("log 2 off by one unit of its grid", tables, "LN2_HIGH", tables.LN2_HIGH + 2.0**-41),
    Mutant("−log c without its low parts", tables, "MINUS_LOG_LOW", 0.0 * tables.MINUS_LOG_LOW),
    Mutant(
        "one −log c off by 2^-60",
        tables,
        "MINUS_LOG_LOW",
        _with_entry(tables.MINUS_LOG_LOW, 20, lambda x: x + 2.0**-60),
    ),
    Mutant(
        "one reciprocal off by its last bit",
        tables,
        "RECIPROCAL",
        _with_entry(tables.RECIPROCAL, 50, lambda x: x + 2.0**-15),
    ),
    Mutant("2^(j/64) without its low parts", tables, "POWER_LOW", 0.0 * tables.POWER_LOW),
    Mutant("one 2^(j/64) off by 2^-70", tables, "POWER_LOW", _with_entry(tables.POWER_LOW, 33, lambda x: x + 2.0**-70)),
    Mutant("the step of exp without its last piece", tables, "STEP_3", 0.0),
    Mutant("the step of exp without its middle piece", tables, "STEP_2", 0.0),
    Mutant("the series of log cut short", dd, "LOG_TAIL", dd.LOG_TAIL[4:]),
    Mutant("r³/3 off by 1e-10", dd, "LOG_TAIL", (*dd.LOG_TAIL[:-1], dd.LOG_TAIL[-1] * (1.0 + 1e-10))),
    Mutant("the series of exp cut short", dd, "EXP_TAIL", dd.EXP_TAIL[4:]),
    Mutant("r³/6 off by 1e-12", dd, "EXP_TAIL", (*dd.EXP_TAIL[:-1], dd.EXP_TAIL[-1] * (1.0 + 1e-12))),
    Mutant("two_sum drops the rounding error", dd, "two_sum", _rounded_sum),
    Mutant("quick_two_sum drops the rounding error", dd, "quick_two_sum", _rounded_sum),
    Mutant("two_prod drops the rounding error", dd, "two_prod", _rounded_product),
    Mutant("numbers are split at the wrong bit", dd, "LOW_BITS", 20),
    Mutant("sums drop the low parts", dd, "add", _careless_add),
    Mutant("products drop a cross term", dd, "multiply", _product_without_one_cross_term),
    Mutant("sums drop the only low part", dd, "add", _sum_without_the_only_low_part),
    Mutant("products drop the only low part", dd, "multiply", _product_without_the_only_low_part),
    Mutant("quotients are not corrected", dd, "divide", _rounded_quotient),
    Mutant("quotients by float64 are not corrected", dd, "divide_single", _rounded_single_quotient),
    Mutant("an odd term is dropped", dd, "total", _sum_without_odd_ones),
    Mutant("sums are taken in float64", dd, "total", _shallow_sum),
    Mutant("the bound of log is too small", ball, "E_LOG", 2.0**-72),
    Mutant("the bound of exp is too small", ball, "E_EXP", 2.0**-79),
    Mutant("underflow is neglected", ball, "E_UNDERFLOW", 0.0),
    Mutant("the argument of exp is limited to the range of float64", ball, "EXP_LIMIT", 700.0),
    Mutant("log(a ÷ b) is a difference of logs", ball, "log_quotient", _difference_of_logs),
    Mutant("products neglect the errors of their factors", Ball, "__mul__", _product_of_exact_numbers),
    Mutant("sums neglect the errors of their terms", Ball, "sum", _sum_of_exact_numbers),
    Mutant("an odd class is dropped from partial sums", Ball, "partial_sums", _fold_without_odd_ones),
    Mutant("exp neglects the error of its argument", ball, "exp", _exp_of_exact_numbers),
    Mutant("numbers are not scaled to a shared exponent", Ball, "scaled", _not_scaled),
    Mutant("a sum's exponent is that of its smallest term", scaled, "_LOWEST_EXPONENT", -(2**20)),
)
