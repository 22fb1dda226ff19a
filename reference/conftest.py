"""Test depth of the reference."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --nightly."""
    parser.addoption(
        "--nightly", action="store_true", help="audit the reference on 100,000 instead of 1,000 problems per function"
    )


@pytest.fixture(scope="session")
def samples(pytestconfig: pytest.Config) -> int:
    """Return the number of problems per audited function."""
    return 100_000 if pytestconfig.getoption("--nightly") else 1_000
