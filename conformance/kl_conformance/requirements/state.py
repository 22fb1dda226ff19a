"""State: a call leaves nothing behind and depends on nothing but its inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kl_cases.pair import Pair
from kl_conformance import judge
from kl_conformance.judgement import Judgement
from kl_conformance.requirement import HOW, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.gradients import sides
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import Array, Sketch
from kl_conformance.subject import Subject
from kl_conformance.surroundings import changed, sources
from kl_conformance.upstream import upstream_of
from kl_reference.convention import Side

FAMILIES = ("dirichlet-flat", "power-law")
SHAPES = ((3, 5), (8, 31))


def inputs_untouched(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Look at both inputs, bit by bit, after the call."""
    for problem in subject.problems(pair):
        call = subject.call(problem)
        subject.ask(call)
        text = subject.describe(call)
        for name, tensor, operand in (
            ("target", call.target, problem.target),
            ("model", call.model, problem.model),
        ):
            after = subject.framework.output(subject.modules, tensor).values
            if np.array_equal(after, operand.values.astype(np.float64), equal_nan=True):
                yield judge.passes(problem, text)
            else:
                yield judge.fails(problem, text, f"the {name} was written to")


def repeatable(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Make the same call twelve times, each on tensors of its own, and keep every answer."""
    for problem in subject.problems(pair):
        first = subject.evaluate(problem)
        kept = [subject.ask(subject.call(problem)).values for _ in range(12)]
        for got in kept:
            fine = (got == first.got) | (np.isnan(got) & np.isnan(first.got))
            yield judge.holds(first, fine, "the same call gave other bits")


def upstream_untouched(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Look at the upstream gradient, bit by bit, after the backward pass."""
    for problem in subject.problems(pair):
        for side in sides(subject, problem):
            asked, after = subject.spent(problem, side, upstream_of(problem))
            fine = after == asked
            text = subject.describe(subject.call(problem)).differentiated(side)
            if fine.all():
                yield judge.passes(problem, text)
            else:
                yield judge.fails(problem, text, "the upstream gradient was written to")


def surrounded(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Look at random generators and settings of the process after a call and its gradients."""
    subject.forget()  # so that the gradients are asked for between one look and the next
    for problem in subject.problems(pair):
        call = subject.call(problem)
        shared = {**sources(), **subject.framework.sources(subject.modules)}
        for each in shared.values():  # so that a seed that is set again shows
            each.draw()
        before = {name: each.state() for name, each in shared.items()}
        subject.ask(call)
        for side in sides(subject, problem):
            subject.gradient(problem, side)
        after = {name: each.state() for name, each in shared.items()}
        found = [*changed(before, after), *changed(subject.surroundings, subject.surrounding())]
        if found:
            note = f"not as it was before the call: {', '.join(found)}"
            yield judge.fails(problem, subject.describe(call), note)
        else:
            yield judge.passes(problem, subject.describe(call))


class _Scribbler:
    """Writes into its model to save a buffer."""

    def __call__(self, target: Array, model: Array) -> tuple[Array, Array]:
        copy = model.copy()
        model *= 2
        return target, copy


class _Forgetful:
    """Doubles every tenth answer."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, answer: Array) -> Array:
        self.calls += 1
        return answer if self.calls % 10 else answer * 2


def _drawn(answer: Array) -> Array:
    """Draws a number from the generator everybody draws from."""
    np.random.random()
    return answer


def _writable(subject: Subject) -> str | None:
    return None if subject.framework.strided else f"arrays of {subject.framework.name} cannot be written to"


def _halved(upstream: Array) -> Array:
    """Uses the upstream gradient as a buffer."""
    seed = np.array(upstream)
    upstream *= 0.5
    return seed


REQUIREMENTS = (
    Requirement(
        id="state/inputs-untouched",
        sentence="Inputs are bitwise unchanged after the call.",
        formula="P, Q before = P, Q after",
        reason="An in-place log of the target is right once, and wrong in the next epoch.",
        link=KL_DIV_LOSS,
        check=inputs_untouched,
        draws=HOW,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(before=_Scribbler()),
    ),
    Requirement(
        id="state/repeatable",
        sentence="The same call gives the same bits, a dozen times in a row.",
        formula="f(P, Q) = f(P, Q)",
        reason="Caches keyed by address and buffers used twice show on a later call only.",
        check=repeatable,
        draws=HOW,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(after=_Forgetful()),
    ),
    Requirement(
        id="state/upstream-untouched",
        sentence="The upstream gradient is bitwise unchanged after the backward pass.",
        formula="∂L/∂f before = ∂L/∂f after",
        reason="Autograd hands one tensor to every branch of a graph: who scales it in place scales the others' share.",
        link="https://docs.pytorch.org/docs/stable/notes/extending.html",
        check=upstream_untouched,
        draws=HOW,
        applies=scope.both(scope.differentiable(*Side), _writable),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(upstream=_halved),
    ),
    Requirement(
        id="state/surroundings",
        sentence="Random generators, default dtype and device, modes and environment are as they were before the call.",
        formula="settings and random state before = after",
        reason="A seed set for a reproducible kernel makes every dropout mask of a training run the same.",
        link="https://docs.pytorch.org/docs/stable/notes/randomness.html",
        check=surrounded,
        draws=HOW,
        families=FAMILIES[:1],
        shapes=SHAPES[:1],
        miniature=Sketch(after=_drawn),
    ),
)
