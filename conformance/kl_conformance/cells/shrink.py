"""Shrinks a failing pair to a small one."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from kl_cases.pair import Indices, Measure, Pair
from kl_conformance.cells.effort import SHRINK_SECONDS
from kl_conformance.cells.search import Fails
from kl_reference.convention import Space
from kl_reference.enclosure import Array

PLAIN_NUMBERS = {
    Space.PROBABILITY: (0.0, 1.0, 0.5, 0.25),
    Space.LOG: (0.0, -1.0, -2.0, -8.0),
    Space.LOGITS: (0.0, 1.0, -1.0, 8.0),
}


def shrink(pair: Pair, fails: Fails, seconds: float = SHRINK_SECONDS) -> Pair:
    """Return the smallest failing pair found in a time: fewest rows, fewest classes, plainest numbers."""
    end = time.monotonic() + seconds

    def still_fails(candidate: Pair) -> bool:
        return time.monotonic() < end and fails(candidate)

    before = None
    while before is None or pair.id != before:
        before = pair.id
        for axis in range(-len(pair.shape), 0):
            pair = _with_fewest(pair, partial(_take, axis=axis), pair.shape[axis], still_fails)
        pair = _with_plainer_numbers(pair, still_fails)
    return pair


def _take(pair: Pair, index: Indices, axis: int) -> Pair:
    """Return the pair with only these entries of an axis; a side that is broadcast there is unchanged."""

    def side(values: Array) -> Array:
        whole = values.ndim >= -axis and values.shape[axis] == pair.shape[axis]
        return np.take(values, index, axis=axis) if whole else values

    return pair.with_values(side(pair.p.values), side(pair.q.values))


def _with_fewest(pair: Pair, take: Callable[[Pair, Indices], Pair], count: int, still_fails: Fails) -> Pair:
    """Keep as few entries as possible (delta debugging: single chunks first, then all except one chunk)."""
    chunk = count // 2
    kept = np.arange(count)
    while chunk >= 1 and len(kept) > 1:
        for candidate in _candidates(kept, chunk):
            if still_fails(take(pair, candidate)):
                kept = candidate
                chunk = min(chunk, len(kept) // 2)
                break
        else:
            chunk //= 2
    return take(pair, kept) if len(kept) < count else pair


def _candidates(kept: Indices, chunk: int) -> Iterator[Indices]:
    parts = [kept[start : start + chunk] for start in range(0, len(kept), chunk)]
    if len(parts) < 2:
        return
    yield from parts[:64]
    for part in parts[:64]:
        rest = np.setdiff1d(kept, part)
        if len(rest):
            yield rest


def _with_plainer_numbers(pair: Pair, still_fails: Fails) -> Pair:
    """Replace numbers by plainer ones, one at a time, as long as the pair fails."""
    for side in ("p", "q"):
        measure: Measure = getattr(pair, side)
        if measure.values.size > 64:
            continue
        # A zero probability is a different kind of problem: none is introduced where there is none.
        zeros = measure.space is not Space.PROBABILITY or not measure.values.all()
        for place in np.ndindex(measure.values.shape):
            for number in _plainer(float(measure.values[place]), measure.space):
                if number == 0 and not zeros:
                    continue
                values = np.array(measure.values)
                values[place] = number
                changed = Measure(values, measure.space)
                candidate = Pair(
                    changed if side == "p" else pair.p,
                    changed if side == "q" else pair.q,
                    axis=pair.axis,
                    origin=pair.origin,
                )
                if still_fails(candidate):
                    pair, measure = candidate, changed
                    break
    return pair


def _plainer(number: float, space: Space) -> Iterator[float]:
    """Yield plainer numbers than this one, the plainest first."""
    choices = PLAIN_NUMBERS[space]
    # A plain number is replaced by a plainer one only, so that shrinking ends.
    yield from choices[: choices.index(number)] if number in choices else choices
    if number in choices or not np.isfinite(number) or number == 0:
        return
    mantissa, exponent = np.frexp(number)
    for bits in (1, 3, 8):
        rounded = float(np.ldexp(np.rint(mantissa * 2.0**bits) / 2.0**bits, exponent))
        if rounded != number:
            yield rounded
