"""Values: the number is right."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_values(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Values: the number is right."""
    settle(cell)
