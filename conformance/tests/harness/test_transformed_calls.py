"""Calls asked in another way: what can be done is done, and what cannot is said."""

from __future__ import annotations

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
    """Return a known implementation as a column whose framework need not be installed."""
    column = Column(implementation.name, implementation.framework, "2", "cpu", "float32", "eager")
    return Subject(implementation, registry.framework(implementation.framework), Modules(), column)


def test_numpy_alone_can_do_nothing_else() -> None:
    """A kernel on NumPy arrays is excused from every transform it does not bring, each time with the reason."""
    plain = replace(Miniature().implementation(), custom_transforms={})
    for transform in Transform:
        assert (
            applicability.supports_transform(transform)(subject(plain)) == f"numpy cannot {transform.value}"
        )
        assert applicability.supports_transform(transform)(subject()) is None


def test_a_transform_is_promised_or_not_asked() -> None:
    """What a framework can is asked of an implementation only where it promises it, or else it says why not."""
    why = applicability.supports_transform(Transform.BATCHED)
    kl_div = loading.implementation("torch.nn.functional.kl_div")
    assert why(column_of(kl_div)) is None
    assert why(column_of(replace(kl_div, transforms=frozenset()))) == "is not declared able to batch a call"
    categorical = loading.implementation("torch.distributions.kl_divergence")
    assert "torch.func.vmap" in (why(column_of(categorical)) or "")


def test_what_takes_long_is_spared_in_haste() -> None:
    """Only what its framework compiles slowly is left out of the quick profile."""
    skip_reason = applicability.is_fast(Transform.COMPILED)
    assert skip_reason(subject()) is None
    for name, haste in (("torch.nn.functional.kl_div", True), ("optax.losses.kl_divergence", False)):
        assert (skip_reason(column_of(loading.implementation(name))) is not None) is haste


@pytest.mark.parametrize("reduction", [Reduction.TERMS, Reduction.SUM, Reduction.MEAN])
@pytest.mark.parametrize("target", [Space.PROBABILITY, Space.LOG])
def test_a_right_implementation_is_right_in_every_way(reduction: Reduction, target: Space) -> None:
    """Asked by both sides at once, along a direction, compiled or batched, a right call stays right."""
    asked = subject()
    problem = asked.problem(PAIR, reduction, target=target)
    direction, above = pattern(problem.shape), upstream_of(problem)
    given = [
        *transformed_calls.together(asked, problem),
        transformed_calls.compiled(asked, problem, "its own"),
    ]
    for side in Side:
        given.append(transformed_calls.along(asked, problem, side, direction))
        given.append(transformed_calls.bent(asked, problem, side, direction, above))
    if reduction is not Reduction.MEAN:  # the mean of one row is no reduction of the whole
        given.append(transformed_calls.batched(asked, problem))
    for each in given:
        assert not judge.within_tolerance(each, decisive=False).is_failure, each.call


def test_autocast_asks_for_single_precision() -> None:
    """Under autocast a float16 column is held to float32, and a float64 column to float64."""
    for dtype, due in (("float16", Dtype.FLOAT32), ("float64", Dtype.FLOAT64)):
        asked = subject(dtype=dtype)
        got = transformed_calls.autocast(asked, asked.problem(PAIR))
        assert (got.dtype, got.profile.storage) == (due.label, due)
        assert not judge.within_tolerance(got).is_failure


def test_an_upstream_gradient_lies_as_it_is_told() -> None:
    """What arrives from above arrives in the column's dtype, with its strides."""
    seen: list[Any] = []

    def gradient(modules: Any, call: Any, side: Side, upstream: Any) -> Any:
        seen.append(upstream)
        return Miniature().gradient(modules, call, side, upstream)

    asked = subject(replace(Miniature().implementation(), gradient=gradient), "float32")
    problem = asked.problem(PAIR)
    for layout in ("contiguous", "transposed", "strided"):
        assert not judge.within_tolerance(
            asked.gradient(problem, Side.MODEL, UpstreamKind.PATTERN, layout)
        ).is_failure
    expanded = asked.gradient(problem, Side.MODEL, UpstreamKind.EXPANDED, "expanded")
    assert not judge.within_tolerance(expanded).is_failure
    assert {str(each.dtype) for each in seen} == {"float32"}
    assert [each.strides for each in seen] == [(12, 4), (4, 8), (24, 8), (0, 4)]


def test_a_machine_that_lacks_something_is_not_a_fault() -> None:
    """An implementation that raises has not held a requirement; a missing compiler is nobody's fault."""

    def absent(*_: Any) -> Any:
        raise AbsentError("no compiler here")

    def raises(*_: Any) -> Any:
        raise RuntimeError("cannot compile")

    for make, error in ((absent, AbsentError), (raises, RefusedError)):
        own = {Transform.COMPILED: make}
        asked = subject(replace(Miniature().implementation(), custom_transforms=own))
        with pytest.raises(error, match="compile"):
            transformed_calls.compiled(asked, asked.problem(PAIR), "its own")


class Silenced(Transformer):
    """A library whose slope is what comes of a tensor of zeros, and whose batches are loops."""

    def batchable_gradient(self, modules: Any, function: Function, tensor: Any) -> Any:
        """Ask about zeros."""
        return function(0 * tensor)

    def batched(self, modules: Any, function: Function) -> Function:
        """Ask row by row."""
        return lambda *tensors: np.stack([function(*rows) for rows in zip(*tensors, strict=True)])


@pytest.mark.parametrize(("place", "due"), [(0, [[3, 4], [5, 6]]), (1, [[10, 20], [30, 40]])])
def test_every_row_is_differentiated_by_the_tensor_in_one_place(place: int, due: list[list[int]]) -> None:
    """The others stay as they are, in every row its own."""

    def function(p: Any, q: Any) -> Any:
        return 10 * p + q

    first, second = np.array([[1, 2], [3, 4]]), np.array([[3, 4], [5, 6]])
    found = Silenced().per_row_gradients(Modules(), function, (first, second), place)
    np.testing.assert_array_equal(found, due)
