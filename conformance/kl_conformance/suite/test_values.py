"""Values: is the number right?"""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_values(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Values: is the number right?"""
    settle(cell)
