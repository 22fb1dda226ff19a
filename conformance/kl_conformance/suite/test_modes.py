"""Modes: a call is the same call, however it is run."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_modes(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Modes: a call is the same call, however it is run."""
    settle(cell)
