"""Errors: what cannot be a divergence is no number."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_errors(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Errors: what cannot be a divergence is no number."""
    settle(cell)
