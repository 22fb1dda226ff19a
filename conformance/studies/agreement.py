"""How near right implementations come to the tolerances, on many elements and rows of many families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_cases.distributions import FAMILIES
from kl_cases.problems import Recipe, build
from kl_conformance import judge
from kl_conformance.call import CallDescription
from kl_conformance.evaluation import Evaluation
from kl_conformance.framework import Framework
from kl_conformance.posing import ordinary
from kl_conformance.registry import FRAMEWORKS
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
from studies.arithmetic import ARITHMETIC, FORMS, Arithmetic

Size = tuple[int, int]
"""Rows and classes drawn from each family."""

JUDGED = {Reduction.TERMS: "terms", Reduction.ROWS: "rows"}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How one implementation in one dtype lies in the tolerances, over terms or over sums of rows.

    ``median``, ``p99`` and ``largest`` are of error ÷ tolerance; ``worst`` says where the largest was seen.
    ``excused`` counts answers that overflowed, or were flushed to zero, where that is right.
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
class Tally:
    """Errors ÷ tolerance as they come in."""

    ratios: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    violations: int = 0
    excused: int = 0
    largest: float = -1.0
    worst: str = ""

    def add(self, asked: Evaluation) -> None:
        """Judge an answer, and keep how far it lies from what is right."""
        verdict = judge.lies(asked, decisive=False)
        error = np.abs(asked.enclosure.error(asked.got))
        with np.errstate(all="ignore"):
            ratio = np.where(error == 0, 0.0, error / verdict.allowed)
        excused = ~verdict.bad & ~(ratio <= 1)
        ratio = np.where(excused, 0.0, ratio)
        self.violations += int(np.sum(verdict.bad))
        self.excused += int(np.sum(excused))
        self.ratios.append(ratio.ravel().astype(np.float32))
        if ratio.max() > self.largest:
            self.largest, self.worst = float(ratio.max()), asked.call.text

    def agreement(self, implementation: str, dtype: Dtype, judged: Reduction) -> Agreement:
        """Return what was seen, in numbers."""
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


Tallies = dict[tuple[str, Reduction], Tally]
"""By mode and by what is judged."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some rows of one family, and what is right about them, by reduction."""

    name: str
    problems: dict[Reduction, Problem]
    enclosures: dict[Reduction, Enclosure]
    profile: Profile

    def operand(self, side: Side) -> Operand:
        """Return P or log Q."""
        return self.problems[Reduction.TERMS].side(side)

    @property
    def target(self) -> Operand:
        """P as the implementation sees it, which may read subnormal numbers as 0."""
        given = self.operand(Side.TARGET)
        return given.flushed() if self.profile.flush_to_zero else given

    def evaluated(self, judged: Reduction, got: NDArray[np.float64], form: str) -> Evaluation:
        """Put an answer beside what is right."""
        problem, enclosure = self.problems[judged], self.enclosures[judged]
        allowed = tolerance(problem, enclosure, self.profile)
        dtype, call = problem.target.dtype.label, CallDescription(f"{self.name}, {form}")
        return Evaluation(problem, got, dtype, enclosure, allowed, self.profile, call, answer)


def agree(name: str, sizes: Iterable[Size]) -> Iterator[Agreement]:
    """Ask one framework in every dtype it has, and judge every answer."""
    framework = FRAMEWORKS[name]
    modules = framework.load()
    arithmetic = ARITHMETIC[name](modules)
    for dtype in arithmetic.dtypes:
        tallies: Tallies = {(mode, judged): Tally() for mode in arithmetic.modes for judged in JUDGED}
        for size in sizes:
            for space in (Space.PROBABILITY, Space.LOG):
                samples = list(_samples(size, space, dtype, framework.profile(dtype, "cpu")))
                _ask(framework, modules, arithmetic, samples, tallies)
        for (mode, judged), tally in tallies.items():
            yield tally.agreement(f"{name} {mode}".strip(), dtype, judged)


def _ask(
    framework: Framework, modules: Any, arithmetic: Arithmetic, samples: Sequence[Sample], tallies: Tallies
) -> None:
    """Ask for all rows at once, in every form and mode."""
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
                    tallies[mode, judged].add(sample.evaluated(judged, part, f"{form.name} {mode}".strip()))


def _samples(size: Size, space: Space, dtype: Dtype, profile: Profile) -> Iterator[Sample]:
    """Yield rows of every family whose numbers are ordinary and whose terms do not overflow on the way."""
    for family in FAMILIES.values():
        pair = build(Recipe(family.name, size, dtype, seed=size[1]))
        operands = pair.realise(space, Space.LOG, dtype, subnormals=family.subnormals)
        problems = {judged: Problem(*operands, reduction=judged) for judged in JUDGED}
        if not ordinary(problems[Reduction.TERMS]):
            continue
        enclosures = {judged: answer(problem) for judged, problem in problems.items()}
        # Where p·log p alone overflows, p·log p − p·log q is NaN, and rightly refused.
        if np.all(enclosures[Reduction.TERMS].scale.condition < dtype.largest):
            # Where one number fills many classes, all roundings of a sum may go the same way.
            summation = Summation.ANY if family.repeats else profile.summation
            name = f"{family.name} {size[0]}×{size[1]}"
            yield Sample(name, problems, enclosures, replace(profile, summation=summation))


def _stacked(operands: Sequence[Operand]) -> Operand:
    """Return the rows of all operands as one."""
    return replace(operands[0], values=np.concatenate([each.values for each in operands]))


def _split(values: NDArray[np.float64], samples: Sequence[Sample]) -> list[NDArray[np.float64]]:
    """Return each sample's own rows."""
    rows = [each.operand(Side.TARGET).values.shape[0] for each in samples]
    return np.split(values, np.cumsum(rows)[:-1])
