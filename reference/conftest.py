"""How thoroughly the reference is tested."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the nightly profile."""
    parser.addoption(
        "--nightly", action="store_true", help="audit the reference on 100,000 problems a function, not 1,000"
    )


@pytest.fixture(scope="session")
def samples(pytestconfig: pytest.Config) -> int:
    """Return how many problems a function is audited on."""
    return 100_000 if pytestconfig.getoption("--nightly") else 1_000
