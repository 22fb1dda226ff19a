"""Which faults are stopped, by our tolerances and by the defaults of others, on the same answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kl_cases.pair import Measure, Pair
from kl_cases.problems import Recipe, build
from kl_conformance import judge
from kl_conformance.call import CallDescription
from kl_conformance.evaluation import Evaluation
from kl_reference import (
    Dtype,
    Enclosure,
    Problem,
    Profile,
    Reduction,
    Space,
    Tolerance,
    answer,
    tolerance,
)
from studies.faults import Kernel

Mask = NDArray[np.bool_]
FLOAT32 = Dtype.FLOAT32
PROFILE = Profile.of(FLOAT32)


@dataclass(frozen=True, slots=True)
class Criterion:
    """A relative and an absolute tolerance for float32: |got − right| ≤ atol + rtol·|right|.

    ``source`` is the page that documents them as defaults.
    """

    name: str
    rtol: float
    atol: float
    source: str

    def stops(self, got: NDArray[np.float64], right: NDArray[np.float64]) -> Mask:
        """Return where an answer is refused."""
        with np.errstate(invalid="ignore"):
            return ~(np.abs(got - right) <= self.atol + self.rtol * np.abs(right))


PEERS = (
    Criterion(
        "torch.testing.assert_close", 1.3e-6, 1e-5, "https://docs.pytorch.org/docs/stable/testing.html"
    ),
    Criterion(
        "numpy.testing.assert_allclose",
        1e-7,
        0.0,
        "https://numpy.org/doc/stable/reference/generated/numpy.testing.assert_allclose.html",
    ),
    Criterion(
        "numpy.allclose", 1e-5, 1e-8, "https://numpy.org/doc/stable/reference/generated/numpy.allclose.html"
    ),
)


@dataclass(frozen=True, slots=True)
class Question:
    """Many problems of one kind, one a row, with what is right and how far one may lie from it.

    ``exact`` problems allow no error at all.
    """

    name: str
    problem: Problem
    enclosure: Enclosure
    allowed: Tolerance
    exact: bool

    def ask(self, kernel: Kernel) -> NDArray[np.float64]:
        """Return a kernel's answer."""
        compute = kernel.terms if self.problem.reduction is Reduction.TERMS else kernel.rows
        with np.errstate(all="ignore"):
            got = compute(self.problem.target.values, self.problem.model.values)
        return got.astype(np.float64)

    def stopped(self, kernel: Kernel) -> Mask:
        """Return the problems (rows) in which our judge refuses the kernel's answer."""
        got = self.ask(kernel)
        call = CallDescription(kernel.name)
        asked = Evaluation(
            self.problem, got, FLOAT32.label, self.enclosure, self.allowed, PROFILE, call, answer
        )
        verdict = judge.exactly(asked) if self.exact else judge.lies(asked, decisive=False)
        return _any(verdict.bad)

    def stopped_by(self, peer: Criterion, kernel: Kernel) -> Mask:
        """Return the problems (rows) in which others' defaults refuse the kernel's answer."""
        return _any(peer.stops(self.ask(kernel), self.enclosure.value))


@dataclass(frozen=True, slots=True)
class Battery:
    """Questions of terms and of sums that are put together: the i-th row of each makes the i-th test."""

    ladders: tuple[Question, ...]
    probes: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """Of one fault: the share of problems in which each question stops it, and all of them together."""

    fault: str
    ladders: tuple[float, ...]
    probes: tuple[float, ...]
    together: float

    @property
    def stopper(self) -> str:
        """Which of the two stops the fault in every problem."""
        names = {"ladder": max(self.ladders), "exact-sum": max(self.probes)}
        return " and ".join(name for name, share in names.items() if share == 1.0) or "-"


def battery(tests: int, ladders: Iterable[int], probes: Iterable[int]) -> Battery:
    """Build so many tests: a ladder of each number of classes, and an exact sum of each."""
    return Battery(
        tuple(ladder(tests, classes) for classes in ladders), tuple(probe(tests, size) for size in probes)
    )


def ladder(tests: int, classes: int) -> Question:
    """Return ladders judged term by term."""
    pair = build(Recipe("ladder", (tests, classes), FLOAT32, seed=classes))
    return _question(f"ladder {classes}", pair, Reduction.TERMS)


def probe(tests: int, classes: int) -> Question:
    """Return sums that are exact in every order."""
    pairs = [build(Recipe("exact-sum", (classes,), FLOAT32, seed)) for seed in range(tests)]
    p, log_q = (np.stack([side.values for side in sides]) for sides in zip(*map(_sides, pairs), strict=True))
    pair = Pair(Measure(p, Space.PROBABILITY), Measure(log_q, Space.LOG))
    return _question(f"exact-sum {classes}", pair, Reduction.ROWS, exact=True)


def everyday(family: str, tests: int, classes: int, reduction: Reduction) -> Question:
    """Return distributions as people have them, one a row."""
    pair = build(Recipe(family, (tests, classes), FLOAT32, seed=classes))
    return _question(f"{family} {classes}", pair, reduction)


def detect(kernel: Kernel, asked: Battery) -> Line:
    """Return where a fault is stopped."""
    ladders = [question.stopped(kernel) for question in asked.ladders]
    probes = [question.stopped(kernel) for question in asked.probes]
    together = np.any([*ladders, *probes], axis=0)
    return Line(kernel.name, _shares(ladders), _shares(probes), float(np.mean(together)))


def compare(kernel: Kernel, questions: Sequence[Question]) -> tuple[float, ...]:
    """Return the share of problems in which an answer is refused, by us and by each of the peers."""
    ours = [question.stopped(kernel) for question in questions]
    theirs = [[question.stopped_by(peer, kernel) for question in questions] for peer in PEERS]
    return tuple(float(np.mean(np.concatenate(each))) for each in (ours, *theirs))


def _question(name: str, pair: Pair, reduction: Reduction, *, exact: bool = False) -> Question:
    target, model = pair.realise(Space.PROBABILITY, Space.LOG, FLOAT32)
    problem = Problem(target, model, reduction=reduction)
    enclosure = answer(problem)
    return Question(name, problem, enclosure, tolerance(problem, enclosure, PROFILE), exact)


def _sides(pair: Pair) -> tuple[Measure, Measure]:
    return pair.p, pair.q


def _any(bad: Mask) -> Mask:
    """Return whether a problem is bad in any element of its row."""
    return np.asarray(bad.reshape(bad.shape[0], -1).any(axis=-1))


def _shares(stopped: Iterable[Mask]) -> tuple[float, ...]:
    return tuple(float(np.mean(each)) for each in stopped)
