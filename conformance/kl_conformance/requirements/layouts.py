"""Layouts: the answer depends on the elements, never on how they lie in memory or who lies beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kl_cases.family import Shape
from kl_cases.pair import Measure, Pair
from kl_conformance import judge
from kl_conformance.evaluation import RefusedError
from kl_conformance.judge import Weighed
from kl_conformance.judgement import Judgement
from kl_conformance.posing import layouts, ordinary
from kl_conformance.requirement import HOW, Check, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import Array, Sketch, term
from kl_conformance.subject import Subject
from kl_reference.convention import Reduction, Side, Space

FAMILIES = ("dirichlet-flat", "power-law")
SHAPES = ((3, 5), (8, 31))
DIFFERENT = (
    "contiguous/transposed",
    "transposed/strided",
    "offset/padded-rows",
    "expanded/contiguous",
)


def laid(*names: str) -> Check:
    """Ask with the operands lying in memory in certain ways, for every reduction and for the gradient."""

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        for layout in names:
            if len(pair.shape) > 1 or "expanded" not in layouts(layout).values():
                yield from _laid(subject, _sharing(pair, layout), layout)

    return check


def _sharing(pair: Pair, layout: str) -> Pair:
    """Return the pair with equal rows on each side that is to be expanded: only those can share memory."""
    alike = pair.take_rows(np.zeros(pair.rows, dtype=np.intp))
    own = layouts(layout)
    p, q = (own[side] == "expanded" for side in (Side.TARGET, Side.MODEL))
    return replace(pair, p=alike.p if p else pair.p, q=alike.q if q else pair.q)


def _laid(subject: Subject, pair: Pair, layout: str) -> Iterator[Judgement]:
    # Rows that are alike have one right answer, which a constant would be as well.
    decisive = layout != "expanded"
    for problem in subject.problems(pair, *Reduction, layout=layout):
        yield judge.lies(subject.evaluate(problem), decisive=decisive)
    if Side.MODEL in subject.sides:
        for problem in subject.problems(pair, layout=layout):
            yield judge.lies(
                subject.gradient(problem, Side.MODEL), "the gradient is wrong", decisive=decisive
            )


def one_tensor(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Give the target for the model as well: one tensor, read by each argument in its own way."""
    for target, model in subject.forms:
        if target is Space.LOGITS or model is Space.LOGITS:
            continue
        problem = subject.problem(pair, target=target, model=model)
        twin = replace(problem, model=replace(problem.target, space=model))
        if ordinary(twin) and subject.in_domain(twin):
            call = subject.call(twin)
            got = subject.ask(replace(call, model=call.target))
            asked = subject.judged(twin, got, subject.describe(call).varied(", one tensor for both"))
            # As two equal distributions it has the divergence 0, which proves little.
            yield judge.lies(asked, decisive=target is not model)


def permutation(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Reverse the classes of both."""
    back = pair.take(np.arange(pair.classes)[::-1])
    for problem, other in zip(subject.problems(pair), subject.problems(back), strict=True):
        first, second = subject.evaluate(problem), subject.evaluate(other)
        turned = first.got[..., ::-1] if first.problem.reduction is Reduction.TERMS else first.got
        flipped = replace(first, got=turned, enclosure=second.enclosure)
        sides = (Weighed(1.0, second), Weighed(-1.0, flipped))
        yield judge.balances(sides, "permuting the classes changed the answer")


def padding(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Append classes with p = 0: nothing is added."""
    zero = 0.0
    p = pair.p.expressed(Space.PROBABILITY, pair.axis)
    q = pair.q.expressed(Space.PROBABILITY, pair.axis)
    wide = [(0, 0)] * (p.ndim - 1) + [(0, 3)]
    padded = Pair(
        Measure(np.pad(p, wide, constant_values=zero), Space.PROBABILITY),
        Measure(np.pad(q, wide, constant_values=0.25), Space.PROBABILITY),
        axis=pair.axis,
        origin=f"{pair.origin}, padded",
    )
    for problem in subject.problems(padded, Reduction.SUM, Reduction.ROWS):
        yield judge.lies(subject.evaluate(problem))


def row_independence(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Put NaN, then a number, into the last row of one side: every other row keeps its bits."""
    if pair.rows < 2 or pair.axis != -1 or not pair.p.values.shape == pair.q.values.shape == pair.shape:
        return
    for problem in subject.problems(pair):
        first = subject.evaluate(problem)
        for side, poison in itertools.product(Side, (np.nan, 0.125)):
            operand = problem.side(side)
            values = np.array(operand.values)
            # A number that is a probability, and its logarithm more or less.
            values[-1] = poison if operand.space is Space.PROBABILITY else -16 * poison
            other = replace(operand, values=values)
            own = side is Side.TARGET
            try:
                second = subject.evaluate(
                    replace(problem, target=other) if own else replace(problem, model=other)
                )
            except RefusedError:  # an implementation may refuse NaN: then a number must do
                continue
            fine = (first.got == second.got) | (np.isnan(first.got) & np.isnan(second.got))
            fine[-1] = True
            yield judge.holds(second, fine, f"{poison} in one row of the {side.value} changed another row")


def _keeps_rows(subject: Subject) -> str | None:
    return scope.offers(Reduction.TERMS, Reduction.ROWS)(subject)


def _first_class_off(p: Array, log_q: Array) -> Array:
    return term(p, log_q) * np.where(np.arange(p.shape[-1]) == 0, 1 + 1e-6, 1.0)


def _bleeds(terms: Array) -> Array:
    return terms + 0 * terms[-1:] if terms.ndim > 1 else terms


class _ReadsMemory:
    """Reads its input as if it were contiguous, from where it starts."""

    def __call__(self, target: Array, model: Array) -> tuple[Array, Array]:
        return self._raw(target), self._raw(model)

    @staticmethod
    def _raw(array: Array) -> Array:
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        flat = base.ravel(order="K")
        return np.resize(flat, array.shape)


def _first_row_only(target: Array, model: Array) -> tuple[Array, Array]:
    """Reads the one row that is there and takes the others for empty."""
    alone = np.arange(target.shape[0]) == 0
    return target * (alone[:, np.newaxis] if target.strides[0] == 0 else 1), model


def _nothing_to_itself(target: Array, model: Array) -> tuple[Array, Array]:
    """Takes one tensor for one distribution."""
    return (target * 0, model) if target is model else (target, model)


def _as_the_target_lies(target: Array, model: Array) -> tuple[Array, Array]:
    """Reads the model by the strides of the target."""
    memory = model.ravel("K")
    columns = target.flags.f_contiguous and not target.flags.c_contiguous
    return target, memory.reshape(model.shape[::-1]).T if columns else memory.reshape(model.shape)


def _layout(layout: str, sentence: str, reason: str, shapes: tuple[Shape, ...] = SHAPES) -> Requirement:
    return Requirement(
        id=f"layouts/{layout}",
        sentence=sentence,
        formula="f(view) = f(copy)",
        reason=reason,
        link=KL_DIV_LOSS,
        check=laid(layout),
        draws=HOW,
        applies=scope.strided,
        families=FAMILIES,
        shapes=shapes,
        revision=2,
        miniature=Sketch(before=_first_row_only if layout == "expanded" else _ReadsMemory()),
    )


REQUIREMENTS = (
    _layout(
        "strided",
        "Elements with gaps between them give the same answer.",
        "x[:, ::2] is a view; a kernel that ignores the stride reads what lies in the gaps.",
    ),
    _layout(
        "transposed",
        "Transposed tensors give the same answer.",
        "logits.T is a view; a kernel written for rows reads columns.",
    ),
    _layout(
        "offset",
        "Tensors that begin inside a larger buffer give the same answer.",
        "A slice of a batch does not begin where its storage begins.",
    ),
    _layout(
        "padded-rows",
        "Rows with padding between them give the same answer.",
        "Vocabularies are padded to a multiple of 64; the padding is not data.",
    ),
    _layout(
        "expanded",
        "Expanded tensors (stride 0) give the same answer.",
        "One teacher row expanded over a batch has stride 0.",
    ),
    _layout(
        "permuted-3d",
        "Three axes in another order give the same answer.",
        "x.transpose(1, 2) is a view; a kernel that takes any 3-D tensor for rows reads across them.",
        ((2, 3, 5), (3, 8, 31)),
    ),
    Requirement(
        id="layouts/different",
        sentence="The two arguments need not lie alike.",
        formula="f(view P, other view Q) = f(copy P, copy Q)",
        reason="Logits come out of a transpose and the target out of a file: one stride does not fit both.",
        link=KL_DIV_LOSS,
        check=laid(*DIFFERENT),
        draws=HOW,
        applies=scope.strided,
        families=("dirichlet-flat",),
        shapes=SHAPES,
        miniature=Sketch(before=_as_the_target_lies),
    ),
    Requirement(
        id="layouts/one-tensor",
        sentence="Both arguments may be one tensor, which is read as each argument says.",
        formula="f(x, x) = f(x, copy of x)",
        reason="A shortcut for P = Q that compares addresses takes probabilities for logarithms.",
        check=one_tensor,
        draws=HOW,
        # Read as probabilities and as their logarithms, no tensor is two distributions.
        applies=scope.both(scope.unnormalised, scope.takes(Side.MODEL, Space.PROBABILITY, Space.LOG)),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(before=_nothing_to_itself),
    ),
    Requirement(
        id="layouts/permutation",
        sentence="Permuting the classes permutes the terms and leaves the sum.",
        formula="f(πP, πQ) = π f(P, Q)",
        reason="A kernel that treats the last block differently answers differently.",
        check=permutation,
        draws=HOW,
        families=FAMILIES,
        miniature=Sketch(term=_first_class_off),
    ),
    Requirement(
        id="layouts/padding",
        sentence="Appending classes with p = 0 changes nothing.",
        formula="f(P ⊕ 0, Q ⊕ q) = f(P, Q)",
        reason="Padding a vocabulary must not change the loss.",
        check=padding,
        draws=HOW,
        applies=scope.both(
            scope.offers(Reduction.SUM, Reduction.ROWS),
            scope.takes(Side.TARGET, Space.PROBABILITY),
            scope.unnormalised,
            scope.unclipped,
            scope.divergence,
        ),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(term=lambda p, lq: term(p + 1e-12, lq)),
    ),
    Requirement(
        id="layouts/row-independence",
        sentence="One row's answer does not depend on another row, NaN there included.",
        formula="f(P, Q)[i] depends on P[i], Q[i] only",
        reason="Masked loads that multiply by 0 let NaN through from the neighbour.",
        check=row_independence,
        draws=HOW,
        applies=_keeps_rows,
        families=FAMILIES,
        shapes=((3, 5), (8, 31)),
        revision=2,
        miniature=Sketch(after=_bleeds),
    ),
)
