"""Miniatures and other NumPy implementations as subjects, and the judgements of their answers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of
from kl_conformance.cells.fixed_problems import FixedProblem, fixed_problems
from kl_conformance.frameworks.framework import Modules, ones
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Miniature
from kl_conformance.requirements.requirement import Requirement
from kl_reference.convention import Space
from kl_reference.problem import Operand
from kl_reports.runfile.records import Column, Result

NUMPY = registry.framework("numpy")
MODULES = NUMPY.load()


class LargeNumPy(NumPy):
    """NumPy with memory for large tensors, which have that many rows before the operand's."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def fits_large_tensors(self, device: str) -> bool:
        """Return True."""
        return True

    def large_tensor(self, modules: Modules, operand: Operand, device: str) -> Any:
        """Return a tensor that ends with the operand."""
        tail = self.tensor(modules, operand, device, "contiguous")
        return self.prepend_rows(modules, tail, self._rows, ones(operand.space))


def correct_kernel(p: Any, q: Any) -> Any:
    """Return the terms p·log(p/q), 0 where p = 0: a correct kernel in NumPy."""
    with np.errstate(all="ignore"):
        term = p * (np.log(p) - np.log(q))
    return np.where((p == 0) & (q >= 0), 0 * term.dtype.type(0), np.where(p < 0, np.inf, term)).astype(term.dtype)


def subject(tested: Miniature | Implementation | None = None, dtype: str = "float64") -> Subject:
    """Return the subject of a miniature (a correct one by default) or of any other NumPy implementation."""
    tested = Miniature() if tested is None else tested
    implementation = tested.implementation() if isinstance(tested, Miniature) else tested
    column = Column(implementation.name, "numpy", "1", "cpu", dtype, "eager")
    return Subject(implementation, NUMPY, MODULES, column)


def evaluate(requirement: str | Requirement, subject: Subject, *, seed: int = 0) -> Result:
    """Return the verdict of one cell in the quick profile."""
    found = catalogue.requirement(requirement) if isinstance(requirement, str) else requirement
    return Cell(found, subject, effort_of(found, subject, TestProfile.QUICK), seed).evaluate()


def fixed(requirement: Requirement, subject: Subject, profile: TestProfile) -> Iterator[FixedProblem]:
    """Yield the fixed problems of a cell in a profile."""
    return fixed_problems(requirement, subject.dtype, effort_of(requirement, subject, profile))


def pair(p: Sequence[object], q: Sequence[object], space: Space = Space.PROBABILITY) -> Pair:
    """Return a pair of probabilities p and of q in the given space."""
    return Pair(Measure(np.array(p, float), Space.PROBABILITY), Measure(np.array(q, float), space))


def judgements(requirement: str, subject: Subject, pair: Pair) -> list[Judgement]:
    """Return the judgements of a requirement on one pair."""
    return list(catalogue.requirement(requirement).check(subject, pair))
