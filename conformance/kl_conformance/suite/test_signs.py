"""Signs: terms keep theirs, sums are never below the log-sum bound."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_signs(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Signs: terms keep theirs, sums are never below the log-sum bound."""
    settle(cell)
