"""One test function per chapter of the requirements; one item is one cell."""

from collections.abc import Callable

from kl_conformance.runs.plan import PlannedCell


def test_values(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Values: the result is within tolerance of the exact divergence."""
    evaluate(cell)


def test_support(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Support: zeros, infinities and NaN follow the definition."""
    evaluate(cell)


def test_signs(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Signs: pointwise terms keep their sign; sums respect the log-sum inequality."""
    evaluate(cell)


def test_reductions(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Reductions: none, sum, mean, batchmean; axis and broadcasting."""
    evaluate(cell)


def test_identities(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Identities: one value computed in two ways."""
    evaluate(cell)


def test_layouts(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Layouts: strides, offsets, broadcasting, neighbours and size do not change the result."""
    evaluate(cell)


def test_modes(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Modes: compiled, batched, mixed-dtype and inference calls agree with the plain call."""
    evaluate(cell)


def test_gradients(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Gradients: against the analytic gradient."""
    evaluate(cell)


def test_state(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """State: a call has no side effects and depends only on its inputs."""
    evaluate(cell)


def test_errors(cell: PlannedCell, evaluate: Callable[[PlannedCell], None]) -> None:
    """Errors: invalid inputs raise instead of returning a number."""
    evaluate(cell)
