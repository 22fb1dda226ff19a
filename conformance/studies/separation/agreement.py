"""Errors of correct implementations relative to their tolerances, over elements and rows of many families."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_cases.distributions import FAMILIES
from kl_cases.recipes import Recipe, build
from kl_conformance.frameworks.framework import Framework
from kl_conformance.harness.problems import ordinary
from kl_conformance.implementations.registry import FRAMEWORKS
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation
from kl_reference import (
    Dtype,
    Enclosure,
    Operand,
    Problem,
    Profile,
    Reduction,
    Side,
    Space,
    Summation,
    answer,
    tolerance,
)
from studies.separation.divergences import ARITHMETIC, FORMS, Arithmetic

Size = tuple[int, int]
"""Rows and classes drawn from each family."""

JUDGED = {Reduction.TERMS: "terms", Reduction.ROWS: "rows"}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Distribution of error ÷ tolerance of one implementation in one dtype, over terms or over sums of rows.

    ``median``, ``p99`` and ``largest`` are of error ÷ tolerance; ``worst`` is the problem with the largest.
    ``excused`` counts answers that correctly overflowed or were flushed to zero.
    """

    implementation: str
    dtype: str
    judged: str
    count: int
    violations: int
    excused: int
    median: float
    p99: float
    largest: float
    worst: str


@dataclass(slots=True)
class RatioAccumulator:
    """Collects error ÷ tolerance, answer by answer."""

    ratios: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    violations: int = 0
    excused: int = 0
    largest: float = -1.0
    worst: str = ""

    def add(self, evaluation: Evaluation) -> None:
        """Judge an answer and add its errors ÷ tolerance."""
        verdict = judge.within_tolerance(evaluation, decisive=False)
        error = np.abs(evaluation.enclosure.error(evaluation.answer))
        with np.errstate(all="ignore"):
            ratio = np.where(error == 0, 0.0, error / verdict.allowed)
        excused = ~verdict.failed & ~(ratio <= 1)
        ratio = np.where(excused, 0.0, ratio)
        self.violations += int(np.sum(verdict.failed))
        self.excused += int(np.sum(excused))
        self.ratios.append(ratio.ravel().astype(np.float32))
        if ratio.max() > self.largest:
            self.largest, self.worst = float(ratio.max()), evaluation.call.text

    def agreement(self, implementation: str, dtype: Dtype, judged: Reduction) -> Agreement:
        """Summarise the ratios."""
        ratios = np.concatenate(self.ratios)
        return Agreement(
            implementation=implementation,
            dtype=dtype.label,
            judged=JUDGED[judged],
            count=ratios.size,
            violations=self.violations,
            excused=self.excused,
            median=float(np.quantile(ratios, 0.5, method="lower")),
            p99=float(np.quantile(ratios, 0.99, method="lower")),
            largest=self.largest,
            worst=self.worst,
        )


Accumulators = dict[tuple[str, Reduction], RatioAccumulator]
"""By mode and by the reduction that is judged."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one family, with their problems and expected answers by reduction."""

    name: str
    problems: dict[Reduction, Problem]
    enclosures: dict[Reduction, Enclosure]
    profile: Profile

    def operand(self, side: Side) -> Operand:
        """Return P or log Q."""
        return self.problems[Reduction.TERMS].side(side)

    @property
    def target(self) -> Operand:
        """P as the implementation reads it: with subnormal numbers as 0 where its profile flushes them."""
        given = self.operand(Side.TARGET)
        return given.flushed() if self.profile.flush_to_zero else given

    def evaluated(self, judged: Reduction, got: NDArray[np.float64], form: str) -> Evaluation:
        """Return the evaluation of an answer."""
        problem, enclosure = self.problems[judged], self.enclosures[judged]
        allowed = tolerance(problem, enclosure, self.profile)
        dtype, call = problem.target.dtype.label, CallDescription(f"{self.name}, {form}")
        return Evaluation(problem, got, dtype, enclosure, allowed, self.profile, call, answer)


def agree(name: str, sizes: Iterable[Size]) -> Iterator[Agreement]:
    """Evaluate one framework in each of its dtypes, and judge every answer."""
    framework = FRAMEWORKS[name]
    modules = framework.load()
    arithmetic = ARITHMETIC[name](modules)
    for dtype in arithmetic.dtypes:
        accumulators: Accumulators = {
            (mode, judged): RatioAccumulator() for mode in arithmetic.modes for judged in JUDGED
        }
        for size in sizes:
            for space in (Space.PROBABILITY, Space.LOG):
                samples = list(_samples(size, space, dtype, framework.profile(dtype, "cpu")))
                _evaluate(framework, modules, arithmetic, samples, accumulators)
        for (mode, judged), accumulator in accumulators.items():
            yield accumulator.agreement(f"{name} {mode}".strip(), dtype, judged)


def _evaluate(
    framework: Framework, modules: Any, arithmetic: Arithmetic, samples: Sequence[Sample], accumulators: Accumulators
) -> None:
    """Evaluate all rows in one call, in every form and mode."""
    for form in FORMS:
        fitting = [each for each in samples if form.takes(each.target)]
        if not fitting:
            continue
        target, model = (
            framework.tensor(modules, _stacked([each.operand(side) for each in fitting]), "cpu", "contiguous")
            for side in Side
        )
        for mode, prepare in arithmetic.modes.items():
            with np.errstate(all="ignore"):
                tensors = prepare(form.bound(arithmetic))(target, model)
            for judged, tensor in zip(JUDGED, tensors, strict=True):
                got = framework.output(modules, tensor).values
                for sample, part in zip(fitting, _split(got, fitting), strict=True):
                    accumulators[mode, judged].add(sample.evaluated(judged, part, f"{form.name} {mode}".strip()))


def _samples(size: Size, space: Space, dtype: Dtype, profile: Profile) -> Iterator[Sample]:
    """Yield rows of every family whose numbers are ordinary and whose intermediate values do not overflow."""
    for family in FAMILIES.values():
        pair = build(Recipe(family.name, size, dtype, seed=size[1]))
        operands = pair.realise(space, Space.LOG, dtype, subnormals=family.subnormals)
        problems = {judged: Problem(*operands, reduction=judged) for judged in JUDGED}
        if not ordinary(problems[Reduction.TERMS]):
            continue
        enclosures = {judged: answer(problem) for judged, problem in problems.items()}
        # Where p·log p alone overflows, p·log p − p·log q is NaN, which the judge correctly rejects.
        if np.all(enclosures[Reduction.TERMS].scale.condition < dtype.largest):
            # Where one number fills many classes, all rounding errors of a sum may have the same sign.
            summation = Summation.ANY if family.repeats else profile.summation
            name = f"{family.name} {size[0]}×{size[1]}"
            yield Sample(name, problems, enclosures, replace(profile, summation=summation))


def _stacked(operands: Sequence[Operand]) -> Operand:
    """Return the rows of all operands as one operand."""
    return replace(operands[0], values=np.concatenate([each.values for each in operands]))


def _split(values: NDArray[np.float64], samples: Sequence[Sample]) -> list[NDArray[np.float64]]:
    """Split stacked rows by sample."""
    rows = [each.operand(Side.TARGET).values.shape[0] for each in samples]
    return np.split(values, np.cumsum(rows)[:-1])
