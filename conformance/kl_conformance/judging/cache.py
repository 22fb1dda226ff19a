"""Answers remembered, so that a problem is answered once however many columns and requirements ask."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, build
from kl_reference.answer import answer, divide_sum, sum_terms
from kl_reference.convention import Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array, Enclosure
from kl_reference.evaluation.intermediates import Intermediates
from kl_reference.evaluation.reduction import Terms
from kl_reference.gradient import gradient
from kl_reference.problem import Operand, Problem

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """The last few answers, so that a problem is answered once however many requirements judge it.

    Parameters
    ----------
    size
        What all that is kept may weigh together.
    weigh
        What one value weighs; 1 each when None.
    """

    def __init__(self, size: int, weigh: Callable[[Value], int] | None = None) -> None:
        self.size = size
        self._weigh = weigh
        self._weight = 0
        self._kept: OrderedDict[tuple[Any, ...], tuple[Value, int]] = OrderedDict()

    def get(self, key: tuple[Any, ...], make: Callable[[], Value]) -> Value:
        """Return the value kept under the key, making it first where there is none."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        value = make()
        weight = 1 if self._weigh is None else self._weigh(value)
        self._kept[key] = value, weight
        self._weight += weight
        while self._weight > self.size and len(self._kept) > 1:
            self._weight -= self._kept.popitem(last=False)[1][1]
        return value


def _bytes(enclosure: Enclosure) -> int:
    return 8 * enclosure.value.nbytes + 1000  # so many arrays, and what they are held in


def _operand_bytes(p: Operand, q: Operand) -> int:
    return p.values.nbytes + q.values.nbytes + 1000


def _pair_bytes(pair: Pair) -> int:
    return pair.p.values.nbytes + pair.q.values.nbytes + 1000


# The reference's answers serve every column of a process: two implementations are asked the same problems.
MEMORY = 2**27  # bytes of answers
_ANSWERS: Memory[Enclosure] = Memory(MEMORY, _bytes)
_TOTALS: Memory[Terms | Enclosure] = Memory(512)  # numbers that were summed and not yet divided
_WORKINGS: Memory[Intermediates] = Memory(2**27, lambda kept: 1000 * math.prod(kept.problem.shape) + 5000)
_PAIRS: Memory[Pair] = Memory(2**26, _pair_bytes)
# The pair is kept beside what is made of it: as long as it lives, no other has its identity.
_OPERANDS: Memory[tuple[Pair, tuple[Operand, Operand]]] = Memory(2**26, lambda kept: _operand_bytes(*kept[1]))
_PROBLEMS: Memory[tuple[Pair, Problem]] = Memory(
    2**26, lambda kept: _operand_bytes(kept[1].target, kept[1].model)
)
_SINGLE = {Reduction.SUM, Reduction.MEAN, Reduction.BATCHMEAN, Reduction.ROWMEAN}


def cached_pair(recipe: Recipe) -> Pair:
    """Return the pair of a recipe, remembered across columns."""
    return _PAIRS.get((recipe,), lambda: build(recipe))


def realised(
    pair: Pair, target: Space, model: Space, dtype: Dtype, *, subnormals: bool
) -> tuple[Operand, Operand]:
    """Return P and Q as an implementation receives them, remembered across columns."""
    key = id(pair), target, model, dtype, subnormals
    return _OPERANDS.get(key, lambda: (pair, pair.realise(target, model, dtype, subnormals=subnormals)))[1]


def posed(pair: Pair, terms: tuple[Hashable, ...], pose: Callable[[], Problem]) -> Problem:
    """Return the problem that a pair poses on some terms, the same object to everybody: its id is made once."""
    return _PROBLEMS.get((id(pair), *terms), lambda: (pair, pose()))[1]


def reference(problem: Problem) -> Enclosure:
    """Return the reference's answer, remembered across columns and layouts."""
    return _ANSWERS.get((_question(problem),), lambda: _answer(problem))


def _answer(problem: Problem) -> Enclosure:
    """Return the reference's answer; what is summed for one reduction to a number serves the others."""
    if problem.reduction not in _SINGLE:
        return answer(problem, _working(problem))
    summed = replace(problem, reduction=Reduction.SUM)
    total = _TOTALS.get((_question(summed),), lambda: sum_terms(summed, _working(problem)))
    assert not isinstance(total, Enclosure)
    return divide_sum(total, problem)


def slope(problem: Problem, side: Side, upstream: Array | None) -> Enclosure:
    """Return the reference's gradient by one side, remembered across columns and layouts."""
    above = None if upstream is None else upstream.tobytes()
    return _ANSWERS.get(
        (_question(problem), side, above), lambda: gradient(problem, side, upstream, _working(problem))
    )


def _working(problem: Problem) -> Intermediates:
    """Return what is worked out once for all reductions and gradients of a problem.

    It is known by its operands themselves, which it keeps: as long as it lives, no others have their identity.
    """
    operands, terms = (id(problem.target), id(problem.model)), (problem.formula, problem.axis, problem.clip)
    key = (*operands, *terms, problem.normalise, problem.smoothing)
    return _WORKINGS.get(key, lambda: Intermediates(problem))


def _question(problem: Problem) -> str:
    """Return the id of what is asked, wherever it lies in memory."""
    usual = "contiguous"
    return problem.id if problem.layout == usual else replace(problem, layout=usual).id


def remember(size: int) -> None:
    """Keep so many bytes of the reference's answers, where many columns are asked the same."""
    _ANSWERS.size = size
