"""Where a range of versions turns from good to bad: every turn that can be found with few questions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """What a version was found to be; one that could not be asked is neither good nor bad."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Probe:
    """One version asked, and what was seen."""

    version: str
    outcome: Outcome
    words: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """Two versions next to each other, skipped ones aside, of which one is good and one is bad."""

    before: Probe
    after: Probe
    skipped: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Bisection:
    """A range of versions, and what was found in it.

    Parameters
    ----------
    versions
        The range, from the good end to the bad one.
    probes
        What was asked, in the order of the range.
    turns
        Where it turns; more than one where the range is not monotone.
    """

    versions: tuple[str, ...]
    probes: tuple[Probe, ...]
    turns: tuple[Transition, ...]

    @property
    def untested(self) -> int:
        """How many versions of the range nobody asked."""
        return len(self.versions) - len(self.probes)

    @property
    def monotone(self) -> bool:
        """Whether all that was asked turns once."""
        return len(self.turns) == 1


class EndpointError(ValueError):
    """An end of the range that is not what it was said to be."""


Ask = Callable[[str], Probe]
CHECKS = 2  # versions asked beside the search: each in the middle of the longest stretch that nobody asked


def bisect(versions: Sequence[str], ask: Ask, *, every: bool = False) -> Bisection:
    """Find where a range turns.

    Both ends are asked first. Then the middle between any two neighbours that differ, until nothing lies between
    them that could be asked; then some checks elsewhere, and wherever one of these turns up something else, the
    search goes on there. A range that turned back and forth between two versions nobody asked can still be missed:
    ``every`` asks all of them.

    Parameters
    ----------
    versions
        The range, the end said to be good first; at least two.
    ask
        Asks one version.
    every
        Whether all versions are asked.

    Raises
    ------
    EndsError
        The first is not good, or the last is not bad.
    """
    known = dict[int, Probe]()

    def at(place: int) -> Probe:
        if place not in known:
            known[place] = ask(versions[place])
        return known[place]

    last = len(versions) - 1
    for place, due in ((0, Outcome.GOOD), (last, Outcome.BAD)):
        found = at(place)
        if found.outcome is not due:
            raise EndpointError(
                f"{found.version} was said to be {due.value} and is {found.outcome.value}: {found.words}"
            )
    if every:
        for place in range(len(versions)):
            at(place)
    _narrow(known, at)
    for _ in range(0 if every else CHECKS):
        start, end = max(_gaps(known), key=lambda gap: gap[1] - gap[0])
        if end - start < 2:
            break
        at((start + end) // 2)
        _narrow(known, at)
    probes = tuple(known[place] for place in sorted(known))
    return Bisection(tuple(versions), probes, tuple(_turns(probes)))


def _narrow(known: Mapping[int, Probe], at: Callable[[int], Probe]) -> None:
    """Ask between any two that differ, until nothing lies between them that was not asked."""
    while True:
        told = sorted(place for place, probe in known.items() if probe.outcome is not Outcome.SKIP)
        open_ = [
            middle
            for left, right in itertools.pairwise(told)
            if known[left].outcome is not known[right].outcome
            for middle in [_middle(left, right, known)]
            if middle is not None
        ]
        if not open_:
            return
        at(open_[0])


def _middle(left: int, right: int, known: Mapping[int, Probe]) -> int | None:
    """Return the place nearest to the middle of two that nobody asked; None where all were."""
    free = [place for place in range(left + 1, right) if place not in known]
    return min(free, key=lambda place: abs(2 * place - left - right)) if free else None


def _gaps(known: Mapping[int, Probe]) -> list[tuple[int, int]]:
    """Return each two neighbours among what was asked."""
    asked = sorted(known)
    return list(itertools.pairwise(asked))


def _turns(probes: Sequence[Probe]) -> Iterator[Transition]:
    before: Probe | None = None
    skipped = list[Probe]()
    for probe in probes:
        if probe.outcome is Outcome.SKIP:
            skipped.append(probe)
            continue
        if before is not None and before.outcome is not probe.outcome:
            yield Transition(before, probe, tuple(skipped))
        before, skipped = probe, []
