"""One test function a chapter; each item is one cell."""

from collections.abc import Callable

from kl_conformance.runs.plan import Planned


def test_values(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Values: the result is within tolerance of the exact divergence."""
    settle(cell)


def test_support(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Support: zeros, infinities and NaN follow the definition."""
    settle(cell)


def test_signs(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Signs: pointwise terms keep their sign; sums respect the log-sum inequality."""
    settle(cell)


def test_reductions(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Reductions: none, sum, mean, batchmean; axis and broadcasting."""
    settle(cell)


def test_identities(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Identities: one value computed in two ways."""
    settle(cell)


def test_layouts(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Layouts: strides, offsets, broadcasting, neighbours and size do not change the result."""
    settle(cell)


def test_modes(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Modes: compiled, batched, mixed-dtype and inference calls agree with the plain call."""
    settle(cell)


def test_gradients(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Gradients: against the analytic gradient."""
    settle(cell)


def test_state(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """State: a call has no side effects and depends only on its inputs."""
    settle(cell)


def test_errors(cell: Planned, settle: Callable[[Planned], None]) -> None:
    """Errors: invalid inputs raise instead of returning a number."""
    settle(cell)
