"""State: a call leaves nothing behind."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_state(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """State: a call leaves nothing behind."""
    settle(cell)
