"""Transforms run where they are declared, and have a reason where they do not apply."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kl_conformance.errors import AbsentError, RefusedError
from kl_conformance.frameworks.framework import Modules
from kl_conformance.frameworks.transform import Function, Transform, Transformer
from kl_conformance.harness import transformed_calls
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging import judge
from kl_conformance.judging.upstream import UpstreamKind, pattern, upstream_of
from kl_conformance.requirements import applicability
from kl_conformance.requirements.miniature import Miniature
from kl_conformance_testkit.subjects import pair, subject
from kl_reference.convention import Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column

PAIR = pair([[0.125, 0.375, 0.5], [0.5, 0.25, 0.25]], [[-1.0, -2.0, -0.5]] * 2, Space.LOG)


def column_of(implementation: Implementation) -> Subject:
    """Return a column of a built-in implementation, whose framework need not be installed."""
    column = Column(implementation.name, implementation.framework, "2", "cpu", "float32", "eager")
    return Subject(implementation, registry.framework(implementation.framework), Modules(), column)


def test_numpy_has_no_transforms() -> None:
    """No transform applies to a kernel on NumPy arrays, unless it has its own."""
    plain = replace(Miniature().implementation(), custom_transforms={})
    for transform in Transform:
        assert applicability.supports_transform(transform)(subject(plain)) == f"numpy cannot {transform.value}"
        assert applicability.supports_transform(transform)(subject()) is None


def test_a_transform_applies_where_it_is_declared() -> None:
    """Where an implementation does not declare a transform of its framework, there is a reason."""
    reason = applicability.supports_transform(Transform.BATCHED)
    kl_div = loading.implementation("torch.nn.functional.kl_div")
    assert reason(column_of(kl_div)) is None
    assert reason(column_of(replace(kl_div, transforms=frozenset()))) == "is not declared able to batch a call"
    categorical = loading.implementation("torch.distributions.kl_divergence")
    assert "torch.func.vmap" in (reason(column_of(categorical)) or "")


def test_the_quick_profile_skips_slow_transforms() -> None:
    """Only transforms that the framework compiles slowly are skipped."""
    skip_reason = applicability.is_fast(Transform.COMPILED)
    assert skip_reason(subject()) is None
    for name, slow in (("torch.nn.functional.kl_div", True), ("optax.losses.kl_divergence", False)):
        assert (skip_reason(column_of(loading.implementation(name))) is not None) is slow


@pytest.mark.parametrize("reduction", [Reduction.TERMS, Reduction.SUM, Reduction.MEAN])
@pytest.mark.parametrize("target", [Space.PROBABILITY, Space.LOG])
def test_a_correct_implementation_passes_every_transform(reduction: Reduction, target: Space) -> None:
    """Gradients of both sides at once, along a direction, compiled or batched: all are within tolerance."""
    tested = subject()
    problem = tested.problem(PAIR, reduction, target=target)
    direction, upstream = pattern(problem.shape), upstream_of(problem)
    evaluations = [
        *transformed_calls.joint_gradients(tested, problem),
        transformed_calls.compiled(tested, problem, "its own"),
    ]
    for side in Side:
        evaluations.append(transformed_calls.directional_derivative(tested, problem, side, direction))
        evaluations.append(transformed_calls.directional_second_derivative(tested, problem, side, direction, upstream))
    if reduction is not Reduction.MEAN:  # the mean of one row is no reduction of the whole
        evaluations.append(transformed_calls.batched(tested, problem))
    for each in evaluations:
        assert not judge.within_tolerance(each, decisive=False).is_failure, each.call


def test_autocast_computes_in_float32() -> None:
    """Under autocast a float16 column is judged as float32, and a float64 column as float64."""
    for dtype, expected in (("float16", Dtype.FLOAT32), ("float64", Dtype.FLOAT64)):
        tested = subject(dtype=dtype)
        evaluation = transformed_calls.autocast(tested, tested.problem(PAIR))
        assert (evaluation.dtype, evaluation.profile.storage) == (expected.label, expected)
        assert not judge.within_tolerance(evaluation).is_failure


def test_an_upstream_gradient_has_dtype_and_layout() -> None:
    """It has the column's dtype, and the strides of its layout."""
    seen: list[Any] = []

    def gradient(modules: Any, call: Any, side: Side, upstream: Any) -> Any:
        seen.append(upstream)
        return Miniature().gradient(modules, call, side, upstream)

    tested = subject(replace(Miniature().implementation(), gradient=gradient), "float32")
    problem = tested.problem(PAIR)
    for layout in ("contiguous", "transposed", "strided"):
        assert not judge.within_tolerance(tested.gradient(problem, Side.MODEL, UpstreamKind.PATTERN, layout)).is_failure
    expanded = tested.gradient(problem, Side.MODEL, UpstreamKind.EXPANDED, "expanded")
    assert not judge.within_tolerance(expanded).is_failure
    assert {str(each.dtype) for each in seen} == {"float32"}
    assert [each.strides for each in seen] == [(12, 4), (4, 8), (24, 8), (0, 4)]


def test_a_missing_compiler_is_no_failure() -> None:
    """An implementation that raises fails; one whose compiler is missing is not run."""

    def absent(*_: Any) -> Any:
        raise AbsentError("no compiler here")

    def raises(*_: Any) -> Any:
        raise RuntimeError("cannot compile")

    for make, error in ((absent, AbsentError), (raises, RefusedError)):
        own = {Transform.COMPILED: make}
        tested = subject(replace(Miniature().implementation(), custom_transforms=own))
        with pytest.raises(error, match="compile"):
            transformed_calls.compiled(tested, tested.problem(PAIR), "its own")


class Silenced(Transformer):
    """A library whose gradient is the answer to a tensor of zeros, and whose batches are loops."""

    def batchable_gradient(self, modules: Any, function: Function, tensor: Any) -> Any:
        """Return the function of zeros."""
        return function(0 * tensor)

    def batched(self, modules: Any, function: Function) -> Function:
        """Return a loop over the rows."""
        return lambda *tensors: np.stack([function(*rows) for rows in zip(*tensors, strict=True)])


@pytest.mark.parametrize(("place", "expected"), [(0, [[3, 4], [5, 6]]), (1, [[10, 20], [30, 40]])])
def test_every_row_is_differentiated_with_respect_to_one_tensor(place: int, expected: list[list[int]]) -> None:
    """The other tensors keep the values of the row."""

    def function(p: Any, q: Any) -> Any:
        return 10 * p + q

    first, second = np.array([[1, 2], [3, 4]]), np.array([[3, 4], [5, 6]])
    found = Silenced().per_row_gradients(Modules(), function, (first, second), place)
    np.testing.assert_array_equal(found, expected)
