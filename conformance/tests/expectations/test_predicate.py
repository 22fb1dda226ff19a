"""Predicates mean what they mean in NumPy, and nothing else of Python is allowed."""

import numpy as np
import pytest

from kl_conformance.expectations.predicate import Predicate

NAMES = frozenset({"p", "q", "log_q"})
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("p == 0", [True, False, False, False]),
        ("p != 0", [False, True, True, True]),
        ("p == 0 and log_q == -inf", [True, False, False, False]),
        ("p == 0 or log_q == -inf", [True, True, False, False]),
        ("not (p == 0)", [False, True, True, True]),
        ("0 < p < 0.5", [False, True, False, False]),
        ("p >= 0.5 and p <= 0.5", [False, False, True, False]),
        ("isnan(p)", [False, False, False, True]),
        ("not isfinite(log_q) and not isnan(log_q)", [True, True, False, False]),
        ("isinf(log_q)", [True, True, False, False]),
        ("abs(log_q) > 1", [True, True, False, True]),
        ("exp(log_q) == 0", [True, True, False, False]),
        ("log(p) < -1", [True, True, False, False]),
        ("2 * p + 0.5 - p / 2 == 1.25", [False, False, True, False]),
        ("-p == -0.5", [False, False, True, False]),
        ("p / q == inf", [False, True, False, False]),
        ("p == nan", [False, False, False, False]),
        ("log(p - q) == -inf", [True, False, True, False]),
        ("True", [True]),
        ("row(p == 0)", [True, True, True, True]),
        ("row(p > 1)", [False, False, False, False]),
        ("top(q)", [False, False, True, True]),
        ("top(p)", [False, False, False, False]),
    ],
)
def test_a_predicate_holds_element_by_element(text: str, true: list[bool]) -> None:
    """Comparisons, connectives, arithmetic and the few functions mean what they mean in NumPy."""
    values = {
        "p": np.array([0.0, 0.25, 0.5, NAN]),
        "q": np.array([0.0, 0.0, 0.5, 0.5]),
        "log_q": np.array([-INF, -INF, 0.0, -2.0]),
    }
    assert Predicate(text, NAMES)(values).tolist() == (true if len(true) > 1 else true[0])


def test_a_row_is_judged_as_a_whole() -> None:
    """``row`` is true of every element of a row in which something is true, and of no other row."""
    p = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert Predicate("row(p == 0)", NAMES)({"p": p}).tolist() == [[True, True], [False, False]]


def test_the_top_of_a_row_is_its_largest_element() -> None:
    """``top`` is true of the largest elements of each row, and of a single number."""
    p = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert Predicate("top(p)", NAMES)({"p": p}).tolist() == [[False, True], [True, True]]
    assert Predicate("top(p)", NAMES)({"p": np.array(0.5)}).tolist() is True


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "p.real == 0",
        "p[0] == 0",
        "open(p)",
        "(lambda: 0)()",
        "[p for p in q]",
        "p if q else p",
        "p ** 9999",
        "p @ q",
        "p is q",
        "p in q",
        "p == 'zero'",
        "isnan(p, q)",
        "isnan(x=p)",
        "p == isnan",
        "p := 1",
        "p ==",
        "",
        "p; q",
    ],
)
def test_other_expressions_are_refused(text: str) -> None:
    """Only comparisons, connectives, arithmetic and a few functions are allowed."""
    with pytest.raises(ValueError, match=r"not allowed in a predicate|is not an expression|unknown name"):
        Predicate(text, NAMES)({"p": np.ones(2), "q": np.ones(2), "log_q": np.ones(2)})


def test_the_message_for_an_unknown_name_lists_the_known_ones() -> None:
    """A mistyped name is an error when the predicate is created; the message lists the names it may use."""
    with pytest.raises(ValueError, match=r"unknown name 'logq' in 'logq == 0'; known: .*log_q, nan, p, q"):
        Predicate("logq == 0", NAMES)
