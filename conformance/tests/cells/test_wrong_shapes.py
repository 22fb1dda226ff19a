"""An answer of a wrong shape is a failure of kind SHAPE in every requirement, and never of the suite."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of
from kl_conformance.frameworks.transform import Transform
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements.catalogue import REQUIREMENTS
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.requirements.requirement import Requirement
from kl_conformance_testkit.subjects import subject
from kl_reports.runfile.records import Kind, Result, Verdict

Reshape = Callable[[Array], Array]

SHAPES: Mapping[str, Reshape] = {
    "first element": lambda answer: answer.ravel()[:1] if answer.shape != (1,) else answer[0],
    "another axis": lambda answer: answer[np.newaxis],
    "no axis": lambda answer: np.asarray(answer.sum()) if answer.ndim else answer[np.newaxis],
    "transposed": lambda answer: answer.T if answer.T.shape != answer.shape else answer[..., np.newaxis],
    "repeated": lambda answer: np.concatenate([answer, answer]) if answer.ndim else np.stack([answer] * 2),
    "no elements": lambda answer: np.zeros((0, 7), answer.dtype),
    "five axes of NaN": lambda answer: np.full((2, 1, 3, 1, 2), np.nan, answer.dtype),
}
# Requirements that do not compare the value of a call: they are about gradients, inputs, or errors.
VALUE_FREE = {
    "state/inputs-untouched",
    "state/upstream-untouched",
    "state/surroundings",
    "modes/own-work",
    "errors/shape-mismatch",
    "errors/class-mismatch",
    "errors/unknown-reduction",
}
TRANSFORMED = {
    "gradients/independent",
    "gradients/late",
    "gradients/second-order",
    "gradients/forward-mode",
    "gradients/per-row",
    "modes/compiled",
    "modes/vmap",
    "modes/autocast",
    "modes/inference",
}
each_shape = pytest.mark.parametrize("reshape", SHAPES.values(), ids=SHAPES)


def result(requirement: Requirement, tested: Subject) -> Result:
    """Return the result of a requirement in the quick profile, unshrunk."""
    effort = effort_of(requirement, tested, TestProfile.QUICK)
    return Cell(requirement, tested, effort, verdict_only=True).evaluate()


def results(tested: Subject, *chapters: str) -> dict[str, Result]:
    """Return the result of every requirement of the chapters (of all when none is given) that applies."""
    chosen = [each for each in REQUIREMENTS.values() if not chapters or each.chapter in chapters]
    found = {each.id: result(each, tested) for each in chosen}
    return {name: each for name, each in found.items() if each.verdict is not Verdict.UNSUPPORTED}


def wrong_shapes(found: Mapping[str, Result]) -> set[str]:
    """Return the requirements that fail, each for a shape and with both shapes in its message."""
    failed = {name: each for name, each in found.items() if each.verdict is not Verdict.PASS}
    for name, each in failed.items():
        assert (each.verdict, each.kind) == (Verdict.FAIL, Kind.SHAPE), (name, each.detail)
        assert "eturned shape (" in each.detail, (name, each.detail)
        assert ", expected (" in each.detail, (name, each.detail)
    return set(failed)


@each_shape
def test_a_value_of_a_wrong_shape_fails_every_requirement_on_values(reshape: Reshape) -> None:
    """Every requirement that compares the value of a call fails; those about gradients and errors pass."""
    found = results(subject(Miniature(after=reshape)))
    gradients = {name for name in found if name.startswith("gradients/")}
    assert wrong_shapes(found) == found.keys() - gradients - VALUE_FREE


@each_shape
def test_a_gradient_of_a_wrong_shape_fails_every_requirement_on_gradients(reshape: Reshape) -> None:
    """Every requirement that compares the gradient of one call fails."""
    plain = Miniature()

    def gradient(*arguments: Any) -> Any:
        return reshape(plain.gradient(*arguments))

    found = results(subject(replace(plain.implementation(), gradient=gradient)), "gradients")
    alone = {"gradients/second-order", "gradients/forward-mode", "gradients/per-row"}
    failed = wrong_shapes(found)
    assert found.keys() - alone - {"gradients/late"} <= failed


def transformed(reshape: Reshape) -> Implementation:
    """Return a correct implementation with transforms that return wrong shapes."""
    plain = Miniature().implementation()

    def pull_back(result: Callable[[Any], Any], upstream: Any) -> list[Array]:
        return [reshape(each) for each in result(upstream)]

    def after(kind: Transform, transform: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            result = transform(*arguments)
            match kind:
                case Transform.JOINT:
                    return [reshape(each) for each in result]
                case Transform.DEFERRED:
                    return partial(pull_back, result)
                case _:
                    return reshape(result)

        return call

    own = {kind: after(kind, each) for kind, each in plain.custom_transforms.items()}
    return replace(plain, custom_transforms=own)


@each_shape
def test_a_transform_of_a_wrong_shape_fails_every_requirement_on_transforms(reshape: Reshape) -> None:
    """Every requirement on a transform fails, and no other."""
    assert wrong_shapes(results(subject(transformed(reshape)), "gradients", "modes")) == TRANSFORMED


class Alternating:
    """Return a wrong shape at every third call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, answer: Array) -> Array:
        """Return the answer, or the answer with another axis."""
        self.calls += 1
        return answer if self.calls % 3 else answer[np.newaxis]


def test_a_shape_that_changes_from_call_to_call_is_no_failure_of_the_suite() -> None:
    """A kernel whose shapes vary fails, or is not deterministic."""
    found = results(subject(Miniature(after=Alternating())))
    assert found["state/repeatable"].verdict is not Verdict.PASS
    assert {each.verdict for each in found.values()} <= {Verdict.PASS, Verdict.FAIL, Verdict.NONDETERMINISTIC}


@each_shape
def test_no_known_deviation_excuses_a_wrong_shape(reshape: Reshape) -> None:
    """A kernel that follows an implementation with known deviations fails for its shape all the same."""
    followed = loading.implementation("scipy.special.rel_entr")

    def call(modules: Any, call: Any) -> Any:
        return reshape(followed.call(modules, call))

    kernel = replace(followed, name="kernel", like=followed.name, framework="numpy", call=call)
    found = results(subject(kernel, "float32"), "values", "support")
    assert {"values/extreme", "support/tiny-model"} <= wrong_shapes(found)
