"""Bisection over a version range with several transitions and missing answers."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """The result of testing one version; a version that cannot be tested is neither good nor bad."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skipped"


@dataclass(frozen=True, slots=True)
class Probe:
    """One tested version, its outcome, and a message that explains it."""

    version: str
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """A good and a bad version with only skipped versions between them."""

    before: Probe
    after: Probe
    skipped: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Bisection:
    """The result of bisecting a range of versions.

    Parameters
    ----------
    versions
        The range, from the good end to the bad end.
    probes
        The tested versions, in the order of the range.
    transitions
        The transitions between good and bad; several if the range is not monotone.
    """

    versions: tuple[str, ...]
    probes: tuple[Probe, ...]
    transitions: tuple[Transition, ...]

    @property
    def untested(self) -> int:
        """Number of versions of the range that were not tested."""
        return len(self.versions) - len(self.probes)

    @property
    def monotone(self) -> bool:
        """Whether the tested versions have exactly one transition."""
        return len(self.transitions) == 1


class EndpointError(ValueError):
    """An end of the range does not have the outcome that was stated for it."""


CHECKS = 2  # additional versions to test, each in the middle of the longest untested stretch


def bisect(versions: Sequence[str], test: Callable[[str], Probe], *, every: bool = False) -> Bisection:
    """Find the transitions in a range of versions.

    Both ends are tested first. Then the middle between neighbours of different outcome is tested until no untested
    version is left between them. Then a few versions elsewhere are checked; if the outcome of a check differs from
    its neighbours', the search continues there. Two transitions between untested versions can still be missed;
    ``every`` tests all versions.

    Parameters
    ----------
    versions
        The range, the end stated to be good first; at least two versions.
    test
        Tests one version.
    every
        Whether all versions are tested.

    Raises
    ------
    EndpointError
        The first version is not good, or the last version is not bad.
    """
    known = dict[int, Probe]()

    def probe(index: int) -> Probe:
        if index not in known:
            known[index] = test(versions[index])
        return known[index]

    last = len(versions) - 1
    for index, expected in ((0, Outcome.GOOD), (last, Outcome.BAD)):
        end = probe(index)
        if end.outcome is not expected:
            raise EndpointError(
                f"version {end.version} is {end.outcome.value}, expected {expected.value}: {end.message}"
            )
    if every:
        for index in range(len(versions)):
            probe(index)
    _narrow(known, probe)
    for _ in range(0 if every else CHECKS):
        start, stop = max(itertools.pairwise(sorted(known)), key=lambda gap: gap[1] - gap[0])
        if stop - start < 2:
            break
        probe((start + stop) // 2)
        _narrow(known, probe)
    probes = tuple(known[index] for index in sorted(known))
    return Bisection(tuple(versions), probes, tuple(_transitions(probes)))


def _narrow(known: Mapping[int, Probe], probe: Callable[[int], Probe]) -> None:
    """Test between neighbours of different outcome until no untested version is left between them."""
    while True:
        decided = sorted(index for index, each in known.items() if each.outcome is not Outcome.SKIP)
        middles = (
            _middle(left, right, known)
            for left, right in itertools.pairwise(decided)
            if known[left].outcome is not known[right].outcome
        )
        middle = next((each for each in middles if each is not None), None)
        if middle is None:
            return
        probe(middle)


def _middle(left: int, right: int, known: Mapping[int, Probe]) -> int | None:
    """Return the untested index nearest to the middle of two indices; None if all between them are tested."""
    free = [index for index in range(left + 1, right) if index not in known]
    return min(free, key=lambda index: abs(2 * index - left - right)) if free else None


def _transitions(probes: Sequence[Probe]) -> Iterator[Transition]:
    before: Probe | None = None
    skipped = list[Probe]()
    for probe in probes:
        if probe.outcome is Outcome.SKIP:
            skipped.append(probe)
            continue
        if before is not None and before.outcome is not probe.outcome:
            yield Transition(before, probe, tuple(skipped))
        before, skipped = probe, []
