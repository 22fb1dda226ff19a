"""Reductions: what is summed, and what it is divided by."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_reductions(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Reductions: what is summed, and what it is divided by."""
    settle(cell)
