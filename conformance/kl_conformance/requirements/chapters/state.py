"""State: a call has no side effects and depends only on its inputs."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.frameworks.process_state import changed, sources
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judgement import Judgement
from kl_conformance.judging.upstream import upstream_of
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import KL_DIV_LOSS, sides
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.requirements.requirement import FaultSource, Requirement
from kl_reference.convention import Side

FAMILIES = ("dirichlet-flat", "power-law")
SHAPES = ((3, 5), (8, 31))


def inputs_untouched(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare both inputs bit by bit before and after the call."""
    for problem in subject.problems(pair):
        call = subject.build_call(problem)
        subject.invoke(call)
        text = subject.describe(call)
        for name, tensor, operand in (("target", call.target, problem.target), ("model", call.model, problem.model)):
            after = subject.framework.output(subject.modules, tensor).values
            if np.array_equal(after, operand.values.astype(np.float64), equal_nan=True):
                yield judge.passed(problem, text)
            else:
                yield judge.failed(problem, text, f"the {name} was written to")


def repeatable(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Make the same call twelve times, each with its own tensors, and keep every answer."""
    for problem in subject.problems(pair):
        first = subject.evaluate(problem)
        others = [subject.invoke(subject.build_call(problem)).values for _ in range(12)]
        for each in others:
            answer, expected = replace(first, returned=each).answer, first.answer
            same = (answer == expected) | (np.isnan(answer) & np.isnan(expected))
            yield judge.elementwise(first, same, "the same call returned different bits")


def upstream_untouched(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare the upstream gradient bit by bit before and after the backward pass."""
    for problem in subject.problems(pair):
        for side in sides(subject, problem):
            before, after = subject.upstream_after_backward(problem, side, upstream_of(problem))
            text = subject.describe(subject.build_call(problem)).differentiated(side)
            if (after == before).all():
                yield judge.passed(problem, text)
            else:
                yield judge.failed(problem, text, "the upstream gradient was written to")


def process_state(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare random generators and process settings before and after a call and its gradients."""
    subject.clear_cache()  # the gradients must be computed between the two snapshots
    for problem in subject.problems(pair):
        call = subject.build_call(problem)
        shared = {**sources(), **subject.framework.random_sources(subject.modules)}
        for each in shared.values():  # reveals a seed that is set to the same value again
            each.draw()
        before = {name: each.state() for name, each in shared.items()}
        subject.invoke(call)
        for side in sides(subject, problem):
            subject.gradient(problem, side)
        after = {name: each.state() for name, each in shared.items()}
        changes = [*changed(before, after), *changed(subject.initial_state, subject.process_state())]
        if changes:
            note = f"the call changed process state: {', '.join(changes)}"
            yield judge.failed(problem, subject.describe(call), note)
        else:
            yield judge.passed(problem, subject.describe(call))


class _WritesToModel:
    """Write into the model to save a buffer."""

    def __call__(self, target: Array, model: Array) -> tuple[Array, Array]:
        copy = model.copy()
        model *= 2
        return target, copy


class _DoublesEveryTenth:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, answer: Array) -> Array:
        self.calls += 1
        return answer if self.calls % 10 else answer * 2


def _draws_random(answer: Array) -> Array:
    np.random.random()
    return answer


def _has_writable_arrays(subject: Subject) -> str | None:
    return None if subject.framework.strided else f"arrays of {subject.framework.name} cannot be written to"


def _scales_in_place(upstream: Array) -> Array:
    seed = np.array(upstream)
    upstream *= 0.5
    return seed


_requirement = partial(Requirement, fault_source=FaultSource.CALL, families=FAMILIES, shapes=SHAPES)
REQUIREMENTS = (
    _requirement(
        id="state/inputs-untouched",
        sentence="The inputs are bitwise unchanged after the call.",
        formula="P, Q before = P, Q after",
        reason="An in-place log of the target is correct once, and wrong in the next epoch.",
        link=KL_DIV_LOSS,
        check=inputs_untouched,
        miniature=Miniature(before=_WritesToModel()),
    ),
    _requirement(
        id="state/repeatable",
        sentence="The same call returns the same bits, a dozen times in a row.",
        formula="f(P, Q) = f(P, Q)",
        reason="Faults of caches keyed by address and of reused buffers show only in later calls.",
        check=repeatable,
        miniature=Miniature(after=_DoublesEveryTenth()),
    ),
    _requirement(
        id="state/upstream-untouched",
        sentence="The upstream gradient is bitwise unchanged after the backward pass.",
        formula="∂L/∂f before = ∂L/∂f after",
        reason="Autograd passes one tensor to every branch of a graph: scaling it in place affects all branches.",
        link="https://docs.pytorch.org/docs/stable/notes/extending.html",
        check=upstream_untouched,
        applies=when.all_of(when.differentiable(*Side), _has_writable_arrays),
        miniature=Miniature(upstream=_scales_in_place),
    ),
    _requirement(
        id="state/surroundings",
        sentence="Random generators, default dtype and device, modes and environment are unchanged after the call.",
        formula="settings and random state before = after",
        reason="A seed set for a reproducible kernel makes every dropout mask of a training run identical.",
        link="https://docs.pytorch.org/docs/stable/notes/randomness.html",
        check=process_state,
        families=FAMILIES[:1],
        shapes=SHAPES[:1],
        miniature=Miniature(after=_draws_random),
    ),
)
