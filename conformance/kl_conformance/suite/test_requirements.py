"""One test function a chapter; each item is one cell."""

from collections.abc import Callable

from kl_conformance.runs.plan import PlannedCell


def test_values(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Values: the result is within tolerance of the exact divergence."""
    settle(cell)


def test_support(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Support: zeros, infinities and NaN follow the definition."""
    settle(cell)


def test_signs(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Signs: pointwise terms keep their sign; sums respect the log-sum inequality."""
    settle(cell)


def test_reductions(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Reductions: none, sum, mean, batchmean; axis and broadcasting."""
    settle(cell)


def test_identities(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Identities: one value computed in two ways."""
    settle(cell)


def test_layouts(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Layouts: strides, offsets, broadcasting, neighbours and size do not change the result."""
    settle(cell)


def test_modes(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Modes: compiled, batched, mixed-dtype and inference calls agree with the plain call."""
    settle(cell)


def test_gradients(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Gradients: against the analytic gradient."""
    settle(cell)


def test_state(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """State: a call has no side effects and depends only on its inputs."""
    settle(cell)


def test_errors(cell: PlannedCell, settle: Callable[[PlannedCell], None]) -> None:
    """Errors: invalid inputs raise instead of returning a number."""
    settle(cell)
