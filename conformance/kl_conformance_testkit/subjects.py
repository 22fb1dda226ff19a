"""Sketches asked as implementations are, and the answers they are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_cases.recipes import TestProfile
from kl_conformance import catalogue, registry
from kl_conformance.cell import Cell
from kl_conformance.implementation import Implementation
from kl_conformance.judgement import Judgement
from kl_conformance.sketch import Sketch
from kl_conformance.subject import Subject
from kl_reference.convention import Space
from kl_reports.result import Column, Result

NUMPY = registry.framework("numpy")
MODULES = NUMPY.load()


def right(p: Any, q: Any) -> Any:
    """Return p·log(p/q), 0 where p = 0: a right kernel in NumPy."""
    with np.errstate(all="ignore"):
        term = p * (np.log(p) - np.log(q))
    return np.where((p == 0) & (q >= 0), 0 * term.dtype.type(0), np.where(p < 0, np.inf, term)).astype(
        term.dtype
    )


def subject(asked: Sketch | Implementation | None = None, dtype: str = "float64") -> Subject:
    """Return a sketch (a right one when none is given), or any implementation on NumPy, ready to be asked."""
    asked = Sketch() if asked is None else asked
    implementation = asked.implementation() if isinstance(asked, Sketch) else asked
    column = Column(implementation.name, "numpy", "1", "cpu", dtype, "eager")
    return Subject(implementation, NUMPY, MODULES, column)


def settled(requirement: str, asked: Subject, *, seed: int = 0) -> Result:
    """Return the verdict of one cell in the quick profile."""
    return Cell(catalogue.requirement(requirement), asked, TestProfile.QUICK, seed).settle()


def pair(p: Sequence[object], q: Sequence[object], space: Space = Space.PROBABILITY) -> Pair:
    """Return a pair of probabilities p and of q in a space."""
    return Pair(Measure(np.array(p, float), Space.PROBABILITY), Measure(np.array(q, float), space))


def judgements(requirement: str, asked: Subject, question: Pair) -> list[Judgement]:
    """Return what a requirement says of a pair."""
    return list(catalogue.requirement(requirement).check(asked, question))
