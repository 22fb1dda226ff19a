"""Identities: the same number by two roads."""

from collections.abc import Callable

from kl_conformance.plan import Planned


def test_identities(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Identities: the same number by two roads."""
    settle(cell)
