"""Caches reference answers and generated pairs across columns and requirements."""

import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, TypeVar

from cachetools import LRUCache

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
Cache = LRUCache[Hashable, Value]


def lru_cache(size: int, size_of: Callable[[Value], int] | None = None) -> Cache[Value]:
    """Return a cache of the values used last.

    Parameters
    ----------
    size
        Largest sum of the sizes of all values.
    size_of
        Size of one value; 1 each when None. A value larger than ``size`` is kept alone.
    """
    return LRUCache(size, None if size_of is None else lambda value: min(size_of(value), size))


def cached(cache: Cache[Value], key: Hashable, make: Callable[[], Value]) -> Value:
    """Return the value of a key, computed once as long as the cache keeps it."""
    try:
        return cache[key]
    except KeyError:
        value = make()
    cache[key] = value
    return value


def _enclosure_bytes(enclosure: Enclosure) -> int:
    return 8 * enclosure.value.nbytes + 1000  # eight arrays, and the objects that hold them


def _operand_bytes(p: Operand, q: Operand) -> int:
    return p.values.nbytes + q.values.nbytes + 1000


def _pair_bytes(pair: Pair) -> int:
    return pair.p.values.nbytes + pair.q.values.nbytes + 1000


# One process evaluates the same problems in many columns.
ANSWER_BYTES = 2**27
_answers: list[Cache[Enclosure]] = [lru_cache(ANSWER_BYTES, _enclosure_bytes)]  # one, replaced when resized
_totals: Cache[Terms | Enclosure] = lru_cache(512)  # sums before their division
_intermediates: Cache[Intermediates] = lru_cache(2**27, lambda value: 1000 * math.prod(value.problem.shape) + 5000)
_pairs: Cache[Pair] = lru_cache(2**26, _pair_bytes)
# A key contains the identity of a pair; the value holds the pair, so that no other pair gets its identity.
_operands: Cache[tuple[Pair, tuple[Operand, Operand]]] = lru_cache(2**26, lambda value: _operand_bytes(*value[1]))
_problems: Cache[tuple[Pair, Problem]] = lru_cache(2**26, lambda value: _operand_bytes(value[1].target, value[1].model))
_SINGLE_NUMBER = {Reduction.SUM, Reduction.MEAN, Reduction.BATCHMEAN, Reduction.ROWMEAN}


def cached_pair(recipe: Recipe) -> Pair:
    """Return the pair of a recipe."""
    return cached(_pairs, recipe, lambda: build(recipe))


def cached_operands(
    pair: Pair, target: Space, model: Space, dtype: Dtype, *, subnormals: bool
) -> tuple[Operand, Operand]:
    """Return P and Q as an implementation receives them."""
    key = id(pair), target, model, dtype, subnormals
    return cached(_operands, key, lambda: (pair, pair.realise(target, model, dtype, subnormals=subnormals)))[1]


def cached_problem(pair: Pair, options: tuple[Hashable, ...], make: Callable[[], Problem]) -> Problem:
    """Return the problem of a pair under some options; one object, whose id is computed once."""
    return cached(_problems, (id(pair), *options), lambda: (pair, make()))[1]


def reference(problem: Problem) -> Enclosure:
    """Return the reference's answer; the same in every layout."""
    return cached(_answers[0], _layout_free_id(problem), lambda: _answer(problem))


def reference_gradient(problem: Problem, side: Side, upstream: Array | None) -> Enclosure:
    """Return the reference's gradient with respect to one side; the same in every layout."""
    key = _layout_free_id(problem), side, None if upstream is None else upstream.tobytes()
    return cached(_answers[0], key, lambda: gradient(problem, side, upstream, _intermediates_of(problem)))


def _answer(problem: Problem) -> Enclosure:
    """Return the reference's answer; reductions to a single number share the sum of the terms."""
    if problem.reduction not in _SINGLE_NUMBER:
        return answer(problem, _intermediates_of(problem))
    summed = replace(problem, reduction=Reduction.SUM)
    total = cached(_totals, _layout_free_id(summed), lambda: sum_terms(summed, _intermediates_of(problem)))
    assert not isinstance(total, Enclosure)
    return divide_sum(total, problem)


def _intermediates_of(problem: Problem) -> Intermediates:
    """Return the numbers that all reductions and gradients of a problem share.

    The key contains the identities of the operands; the value holds them.
    """
    key: tuple[Any, ...] = id(problem.target), id(problem.model), problem.formula, problem.axis, problem.clip
    key = (*key, problem.normalise, problem.smoothing)
    return cached(_intermediates, key, lambda: Intermediates(problem))


def _layout_free_id(problem: Problem) -> str:
    """Return the id of a problem without its layout in memory."""
    plain = "contiguous"
    return problem.id if problem.layout == plain else replace(problem, layout=plain).id


def resize_answer_cache(size: int) -> None:
    """Keep that many bytes of reference answers, where many columns evaluate the same problems; now empty."""
    _answers[0] = lru_cache(size, _enclosure_bytes)
