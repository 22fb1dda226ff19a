"""Layouts: only the elements matter, not how they lie."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_layouts(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Layouts: only the elements matter, not how they lie."""
    settle(cell)
