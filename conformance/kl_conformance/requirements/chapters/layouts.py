"""Layouts: strides, offsets, broadcasting and neighbours do not change the result."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from kl_cases.family import Shape
from kl_cases.layouts import side_layouts
from kl_cases.pair import Measure, Pair
from kl_conformance.errors import RefusedError
from kl_conformance.harness.problems import ordinary
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judge import WeightedAnswer
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import KL_DIV_LOSS
from kl_conformance.requirements.miniature import Array, Miniature, term
from kl_conformance.requirements.requirement import Check, FaultSource, Requirement
from kl_reference.convention import Reduction, Side, Space

FAMILIES = ("dirichlet-flat", "power-law")
SHAPES = ((3, 5), (8, 31))
MIXED_LAYOUTS = ("contiguous/transposed", "transposed/strided", "offset/padded-rows", "expanded/contiguous")


def in_layouts(*names: str) -> Check:
    """Return a check of every reduction and of the gradient, with operands in the given memory layouts."""

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        for layout in names:
            if len(pair.shape) > 1 or "expanded" not in side_layouts(layout).values():
                yield from _in_layout(subject, _with_equal_rows(pair, layout), layout)

    return check


def _with_equal_rows(pair: Pair, layout: str) -> Pair:
    """Return the pair with equal rows on each side that is expanded: only equal rows can share memory."""
    equal, of_side = pair.take_rows(np.zeros(pair.rows, dtype=np.intp)), side_layouts(layout)
    p, q = (of_side[side] == "expanded" for side in (Side.TARGET, Side.MODEL))
    return replace(pair, p=equal.p if p else pair.p, q=equal.q if q else pair.q)


def _in_layout(subject: Subject, pair: Pair, layout: str) -> Iterator[Judgement]:
    # Equal rows have equal answers, which a constant would also give.
    decisive = layout != "expanded"
    for problem in subject.problems(pair, *Reduction, layout=layout):
        yield judge.within_tolerance(subject.evaluate(problem), decisive=decisive)
    if Side.MODEL in subject.sides:
        for problem in subject.problems(pair, layout=layout):
            yield judge.within_tolerance(
                subject.gradient(problem, Side.MODEL), "the gradient is wrong", decisive=decisive
            )


def one_tensor(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Pass the target as the model as well: one tensor, which each argument interprets in its own space."""
    for target, model in subject.forms:
        if target is Space.LOGITS or model is Space.LOGITS:
            continue
        problem = subject.problem(pair, target=target, model=model)
        same = replace(problem, model=replace(problem.target, space=model))
        if ordinary(same) and subject.in_domain(same):
            call = subject.build_call(same)
            got = subject.invoke(replace(call, model=call.target))
            evaluation = subject.judged(same, got, subject.describe(call).varied(", one tensor for both"))
            # Two equal distributions have the divergence 0, which proves little.
            yield judge.within_tolerance(evaluation, decisive=target is not model)


def permutation(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Reverse the classes of both sides."""
    reverse = pair.take(np.arange(pair.classes)[::-1])
    for problem, other in zip(subject.problems(pair), subject.problems(reverse), strict=True):
        first, second = subject.evaluate(problem), subject.evaluate(other)
        reversed_got = first.answer[..., ::-1] if first.problem.reduction is Reduction.TERMS else first.answer
        flipped = replace(first, returned=reversed_got, enclosure=second.enclosure)
        sides = (WeightedAnswer(1.0, second), WeightedAnswer(-1.0, flipped))
        yield judge.identity(sides, "permuting the classes changed the answer")


def padding(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Append classes with p = 0."""
    p = pair.p.expressed(Space.PROBABILITY, pair.axis)
    q = pair.q.expressed(Space.PROBABILITY, pair.axis)
    widths = [(0, 0)] * (p.ndim - 1) + [(0, 3)]
    padded = Pair(
        Measure(np.pad(p, widths), Space.PROBABILITY),
        Measure(np.pad(q, widths, constant_values=0.25), Space.PROBABILITY),
        axis=pair.axis,
        origin=f"{pair.origin}, padded",
    )
    for problem in subject.problems(padded, Reduction.SUM, Reduction.ROWS):
        yield judge.within_tolerance(subject.evaluate(problem))


def row_independence(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Set the last row of one side to NaN, then to a number: every other row is bitwise unchanged."""
    if pair.rows < 2 or pair.axis != -1 or not pair.p.values.shape == pair.q.values.shape == pair.shape:
        return
    for problem in subject.problems(pair):
        first = subject.evaluate(problem)
        for side, value in itertools.product(Side, (np.nan, 0.125)):
            operand = problem.side(side)
            values = np.array(operand.values)
            # 0.125 is a probability; a log-probability or logit is −2.
            values[-1] = value if operand.space is Space.PROBABILITY else -16 * value
            other = replace(operand, values=values)
            is_target = side is Side.TARGET
            try:
                second = subject.evaluate(
                    replace(problem, target=other) if is_target else replace(problem, model=other)
                )
            except RefusedError:  # an implementation may refuse NaN
                continue
            unchanged = (first.answer == second.answer) | (np.isnan(first.answer) & np.isnan(second.answer))
            unchanged[-1] = True
            yield judge.elementwise(second, unchanged, f"{value} in one row of the {side.value} changed another row")


def _keeps_rows(subject: Subject) -> str | None:
    return when.offers(Reduction.TERMS, Reduction.ROWS)(subject)


def _first_class_off(p: Array, log_q: Array) -> Array:
    return term(p, log_q) * np.where(np.arange(p.shape[-1]) == 0, 1 + 1e-6, 1.0)


class _ReadsMemory:
    """Read the inputs as contiguous memory, from the start of their storage."""

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
    """Read the single stored row of an expanded target, and 0 for the others."""
    alone = np.arange(target.shape[0]) == 0
    return target * (alone[:, np.newaxis] if target.strides[0] == 0 else 1), model


def _zero_for_one_tensor(target: Array, model: Array) -> tuple[Array, Array]:
    """Return 0 where both arguments are one tensor, whatever their spaces."""
    return (target * 0, model) if target is model else (target, model)


def _target_strides_for_model(target: Array, model: Array) -> tuple[Array, Array]:
    memory = model.ravel("K")
    columns = target.flags.f_contiguous and not target.flags.c_contiguous
    return target, memory.reshape(model.shape[::-1]).T if columns else memory.reshape(model.shape)


_requirement = partial(Requirement, fault_source=FaultSource.CALL, families=FAMILIES)


def _layout(layout: str, sentence: str, reason: str, shapes: tuple[Shape, ...] = SHAPES) -> Requirement:
    return _requirement(
        id=f"layouts/{layout}",
        sentence=sentence,
        formula="f(view) = f(copy)",
        reason=reason,
        link=KL_DIV_LOSS,
        check=in_layouts(layout),
        applies=when.has_strides,
        shapes=shapes,
        revision=2,
        miniature=Miniature(before=_first_row_only if layout == "expanded" else _ReadsMemory()),
    )


REQUIREMENTS = (
    _layout(
        "strided",
        "Strided tensors, with gaps between the elements, give the same answer.",
        "x[:, ::2] is a view; a kernel that ignores the stride reads the elements in the gaps.",
    ),
    _layout(
        "transposed",
        "Transposed tensors give the same answer.",
        "logits.T is a view; a kernel that assumes contiguous rows reads columns.",
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
        "Tensors of three permuted axes give the same answer.",
        "x.transpose(1, 2) is a view; a kernel that assumes contiguous rows in 3-D reads across them.",
        ((2, 3, 5), (3, 8, 31)),
    ),
    _requirement(
        id="layouts/different",
        sentence="The two arguments may have different memory layouts.",
        formula="f(view P, other view Q) = f(copy P, copy Q)",
        reason="Logits may come from a transpose and the target from a file: one stride does not fit both.",
        link=KL_DIV_LOSS,
        check=in_layouts(*MIXED_LAYOUTS),
        applies=when.has_strides,
        families=("dirichlet-flat",),
        shapes=SHAPES,
        miniature=Miniature(before=_target_strides_for_model),
    ),
    _requirement(
        id="layouts/one-tensor",
        sentence="Both arguments may be one tensor, which each argument interprets in its own space.",
        formula="f(x, x) = f(x, copy of x)",
        reason="A shortcut for P = Q that compares addresses confuses probabilities with logarithms.",
        check=one_tensor,
        # No tensor is a distribution both as probabilities and as log-probabilities.
        applies=when.all_of(when.not_normalised, when.accepts(Side.MODEL, Space.PROBABILITY, Space.LOG)),
        shapes=SHAPES,
        miniature=Miniature(before=_zero_for_one_tensor),
    ),
    _requirement(
        id="layouts/permutation",
        sentence="Permuting the classes permutes the terms and does not change the sum.",
        formula="f(πP, πQ) = π f(P, Q)",
        reason="A kernel that treats the last block differently gives a different answer.",
        check=permutation,
        miniature=Miniature(term=_first_class_off),
    ),
    _requirement(
        id="layouts/padding",
        sentence="Appending classes with p = 0 does not change the answer.",
        formula="f(P ⊕ 0, Q ⊕ q) = f(P, Q)",
        reason="Padding a vocabulary must not change the loss.",
        check=padding,
        applies=when.all_of(
            when.offers(Reduction.SUM, Reduction.ROWS),
            when.accepts(Side.TARGET, Space.PROBABILITY),
            when.not_normalised,
            when.not_clipped,
            when.is_divergence,
        ),
        shapes=SHAPES,
        miniature=Miniature(term=lambda p, lq: term(p + 1e-12, lq)),
    ),
    _requirement(
        id="layouts/row-independence",
        sentence="The answer of one row does not depend on other rows, even if they contain NaN.",
        formula="f(P, Q)[i] depends on P[i], Q[i] only",
        reason="Masked loads that multiply by 0 carry NaN over from the neighbouring row.",
        check=row_independence,
        applies=_keeps_rows,
        shapes=((3, 5), (8, 31)),
        revision=2,
        miniature=Miniature(after=lambda terms: terms + 0 * terms[-1:] if terms.ndim > 1 else terms),
    ),
)
