"""Gradients agree with the analytic ones."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_gradients(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Gradients agree with the analytic ones."""
    settle(cell)
