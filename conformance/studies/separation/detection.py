"""Detection of faulty kernels by our tolerances and by the default tolerances of other tools, on the same answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kl_cases.pair import Measure, Pair
from kl_cases.recipes import Recipe, build
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation
from kl_reference import Dtype, Enclosure, Problem, Profile, Reduction, Space, Tolerance, answer, tolerance
from studies.separation.kernels import Kernel

Mask = NDArray[np.bool_]
FLOAT32 = Dtype.FLOAT32
PROFILE = Profile.of(FLOAT32)


@dataclass(frozen=True, slots=True)
class Criterion:
    """A relative and an absolute tolerance for float32: |got − expected| ≤ atol + rtol·|expected|.

    ``source`` is the page that documents them as defaults.
    """

    name: str
    rtol: float
    atol: float
    source: str

    def rejects(self, got: NDArray[np.float64], expected: NDArray[np.float64]) -> Mask:
        """Return a mask of the rejected answers."""
        with np.errstate(invalid="ignore"):
            return ~(np.abs(got - expected) <= self.atol + self.rtol * np.abs(expected))


PEERS = (
    Criterion("torch.testing.assert_close", 1.3e-6, 1e-5, "https://docs.pytorch.org/docs/stable/testing.html"),
    Criterion(
        "numpy.testing.assert_allclose",
        1e-7,
        0.0,
        "https://numpy.org/doc/stable/reference/generated/numpy.testing.assert_allclose.html",
    ),
    Criterion("numpy.allclose", 1e-5, 1e-8, "https://numpy.org/doc/stable/reference/generated/numpy.allclose.html"),
)


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """Problems of one kind, one a row, with their expected answers and tolerances.

    In an ``exact`` set no error is allowed.
    """

    name: str
    problem: Problem
    enclosure: Enclosure
    allowed: Tolerance
    exact: bool

    def evaluate(self, kernel: Kernel) -> NDArray[np.float64]:
        """Return the answers of a kernel."""
        compute = kernel.terms if self.problem.reduction is Reduction.TERMS else kernel.rows
        with np.errstate(all="ignore"):
            got = compute(self.problem.target.values, self.problem.model.values)
        return got.astype(np.float64)

    def detected(self, kernel: Kernel) -> Mask:
        """Return a mask of the problems (rows) in which our judge rejects the kernel's answer."""
        got = self.evaluate(kernel)
        evaluation = Evaluation(
            self.problem,
            got,
            FLOAT32.label,
            self.enclosure,
            self.allowed,
            PROFILE,
            CallDescription(kernel.name),
            answer,
        )
        verdict = judge.exact(evaluation) if self.exact else judge.within_tolerance(evaluation, decisive=False)
        return _any(verdict.failed)

    def detected_by(self, peer: Criterion, kernel: Kernel) -> Mask:
        """Return a mask of the problems (rows) in which a peer's defaults reject the kernel's answer."""
        return _any(peer.rejects(self.evaluate(kernel), self.enclosure.value))


@dataclass(frozen=True, slots=True)
class TestBattery:
    """Problem sets of terms and of sums; the i-th rows of all sets make the i-th test."""

    __test__ = False  # not a pytest class
    ladders: tuple[ProblemSet, ...]
    exact_sums: tuple[ProblemSet, ...]


@dataclass(frozen=True, slots=True)
class DetectionRate:
    """Share of tests in which each problem set detects one fault, and in which any of them does.

    ``ladders`` and ``exact_sums`` have one share for each set.
    """

    fault: str
    ladders: tuple[float, ...]
    exact_sums: tuple[float, ...]
    together: float

    @property
    def detector(self) -> str:
        """Which of the two kinds of set detects the fault in every test."""
        names = {"ladder": max(self.ladders), "exact-sum": max(self.exact_sums)}
        return " and ".join(name for name, share in names.items() if share == 1.0) or "-"


def battery(tests: int, ladders: Iterable[int], exact_sums: Iterable[int]) -> TestBattery:
    """Build ``tests`` tests, each a ladder and an exact sum of every given number of classes."""
    return TestBattery(
        tuple(ladder(tests, classes) for classes in ladders), tuple(exact_sum(tests, classes) for classes in exact_sums)
    )


def ladder(tests: int, classes: int) -> ProblemSet:
    """Return ladders of probabilities, judged term by term."""
    pair = build(Recipe("ladder", (tests, classes), FLOAT32, seed=classes))
    return _problem_set(f"ladder {classes}", pair, Reduction.TERMS)


def exact_sum(tests: int, classes: int) -> ProblemSet:
    """Return sums whose partial sums are exact in every order."""
    pairs = [build(Recipe("exact-sum", (classes,), FLOAT32, seed)) for seed in range(tests)]
    p, log_q = (np.stack([side.values for side in sides]) for sides in zip(*map(_sides, pairs), strict=True))
    pair = Pair(Measure(p, Space.PROBABILITY), Measure(log_q, Space.LOG))
    return _problem_set(f"exact-sum {classes}", pair, Reduction.ROWS, exact=True)


def everyday(family: str, tests: int, classes: int, reduction: Reduction) -> ProblemSet:
    """Return distributions as they are common in practice, one a row."""
    pair = build(Recipe(family, (tests, classes), FLOAT32, seed=classes))
    return _problem_set(f"{family} {classes}", pair, reduction)


def detect(kernel: Kernel, tests: TestBattery) -> DetectionRate:
    """Return the share of tests that detect a fault."""
    ladders = [problems.detected(kernel) for problems in tests.ladders]
    exact_sums = [problems.detected(kernel) for problems in tests.exact_sums]
    together = np.any([*ladders, *exact_sums], axis=0)
    return DetectionRate(kernel.name, _shares(ladders), _shares(exact_sums), float(np.mean(together)))


def compare(kernel: Kernel, sets: Sequence[ProblemSet]) -> tuple[float, ...]:
    """Return the share of problems in which an answer is rejected, by our judge and by each of the peers."""
    ours = [problems.detected(kernel) for problems in sets]
    theirs = [[problems.detected_by(peer, kernel) for problems in sets] for peer in PEERS]
    return tuple(float(np.mean(np.concatenate(each))) for each in (ours, *theirs))


def _problem_set(name: str, pair: Pair, reduction: Reduction, *, exact: bool = False) -> ProblemSet:
    target, model = pair.realise(Space.PROBABILITY, Space.LOG, FLOAT32)
    problem = Problem(target, model, reduction=reduction)
    enclosure = answer(problem)
    return ProblemSet(name, problem, enclosure, tolerance(problem, enclosure, PROFILE), exact)


def _sides(pair: Pair) -> tuple[Measure, Measure]:
    return pair.p, pair.q


def _any(bad: Mask) -> Mask:
    """Return a mask of the rows with any rejected element."""
    return np.asarray(bad.reshape(bad.shape[0], -1).any(axis=-1))


def _shares(detected: Iterable[Mask]) -> tuple[float, ...]:
    return tuple(float(np.mean(each)) for each in detected)
