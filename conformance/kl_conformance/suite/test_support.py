"""Support: zeros, infinities and NaN follow the definition."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_support(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Support: zeros, infinities and NaN follow the definition."""
    settle(cell)
