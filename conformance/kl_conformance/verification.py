"""Verify a kernel: one call, one honest answer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import reduced_dtypes
from kl_conformance.diagnosis.causes import likely_cause
from kl_conformance.diagnosis.confirmation import confirmed
from kl_conformance.errors import check_known
from kl_conformance.harness.opening import Absent, load_framework
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.adapter import adapted, checked
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.runs import header as headers
from kl_conformance.runs.plan import Plan
from kl_conformance.runs.selection import Selection
from kl_conformance.runs.session import Session
from kl_reference.bounds.ieee754 import require_ieee
from kl_reports.analysis.kernel import broken
from kl_reports.analysis.witness import Witness, show
from kl_reports.formats.verdict_text import verdict_text
from kl_reports.runfile.records import Column, Run


@dataclass(frozen=True, slots=True)
class FailedRequirement:
    """A broken requirement.

    Parameters
    ----------
    requirement, sentence
        Its id, and what must hold.
    column
        Where it was seen.
    detail
        What was seen, in words.
    witness
        The smallest problem found that shows it, with what was got, what is right and what is allowed; None
        where no problem does.
    reproducer
        A script that shows it with nothing of ours, seen to fail; empty where there is none.
    """

    requirement: str
    sentence: str
    column: Column
    detail: str
    witness: Witness | None
    reproducer: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying a kernel; printed, it is one screen of text."""

    run: Run

    @property
    def conforms(self) -> bool:
        """Whether something was judged, and nothing new is broken."""
        return (
            bool(self.run.results)
            and not broken(self.run)
            and any(each.problems for each in self.run.results)
        )

    @property
    def findings(self) -> tuple[FailedRequirement, ...]:
        """Every broken cell, requirement by requirement."""
        return tuple(self._found())

    def _found(self) -> Iterator[FailedRequirement]:
        header = self.run.header
        for requirement, results in broken(self.run).items():
            for result in results:
                witness = None if result.witness is None else show(result.witness)
                yield FailedRequirement(
                    requirement,
                    str(header.requirements[requirement]["sentence"]),
                    header.columns[result.column],
                    result.detail,
                    witness,
                    "" if witness is None else witness.reproducer,
                )

    @property
    def cause(self) -> str:
        """The likely cause of all findings as a sentence; empty where nothing clearly fits."""
        return likely_cause(self.run)

    def __str__(self) -> str:
        return verdict_text(self.run, self.cause)


def verify(
    kernel: Any,
    like: str = "",
    *,
    device: str = "cpu",
    dtype: str | Sequence[str] = (),
    profile: str = "standard",
    seed: int | None = None,
    strict: bool = False,
    shape: tuple[int, int] | None = None,
    framework: str = "",
    name: str = "",
) -> Verification:
    """Ask a kernel, in this process, everything the suite asks of what it is like.

    A kernel that crashes takes the process with it, and one that never answers keeps it; ``kl-conformance verify``
    asks in a process of its own, names the call, and goes on.

    Parameters
    ----------
    kernel
        A function, module, class of modules or losses, or an Implementation.
    like
        Name of the known implementation whose Convention it promises to follow (see ``kl-conformance list
        implementations``). May be left out for an Implementation.
    device, dtype
        Where and in which formats; all the formats ``like`` takes when empty.
    profile, seed
        ``"quick"``, ``"standard"`` or ``"thorough"``; a fresh seed when None, and kept in ``run.header``.
    strict
        Whether it must be right also where ``like`` is recorded to be wrong.
    shape
        Rows and classes it is used at, to be asked as well.
    framework
        Whose tensors it takes (``"numpy"`` for a NumPy or C function); those of ``like`` when empty.
    name
        What to call it; its own name when empty.

    Raises
    ------
    ValueError
        A name is unknown, or the kernel cannot be called in the way of ``like``.
    RuntimeError
        The framework is not there, or not on that device.
    FloatingPointError
        This thread's arithmetic is not IEEE 754's (it flushes subnormal numbers, say): nobody could be judged in it.
    """
    require_ieee()
    dtypes = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    check_known("profile", [profile], [each.value for each in TestProfile])
    chosen = secrets.randbelow(2**32) if seed is None else seed
    effort = TestProfile(profile)
    selection = Selection(
        devices=(device,),
        dtypes=dtypes,
        profile=effort,
        seed=chosen,
        shape=shape,
        reduced=reduced_dtypes(dtypes, effort),
    )
    selection.check()
    implementation = _implementation(kernel, like, name, framework, strict=strict)
    plan = Plan.of(selection, [implementation])
    if not plan.cells:
        raise ValueError(
            f"nothing to ask {implementation.name!r} on {device} in {', '.join(dtypes) or 'any dtype'}"
        )
    _check_there(implementation, device)
    header = headers.header(selection, plan.cells)
    session = Session(selection)
    results = [session.evaluate(each) for each in plan.cells]
    run = Run(header, tuple(results), datetime.now(UTC).isoformat(timespec="seconds"))
    return Verification(confirmed(run, kernel))


def assert_conforms(kernel: Any, like: str = "", **asked: Any) -> None:
    """Raise an AssertionError with the verdict's screen unless a kernel conforms; asks as :func:`verify` does."""
    __tracebackhide__ = True
    found = verify(kernel, like, **asked)
    if not found.conforms:
        raise AssertionError(f"\n{found}")


def _implementation(kernel: Any, like: str, name: str, framework: str, *, strict: bool) -> Implementation:
    if isinstance(kernel, Implementation) and not like:
        return checked(kernel)
    if isinstance(kernel, str):
        return loading.implementation(kernel, like, framework=framework, strict=strict)
    check_known("implementation", [like], registry.IMPLEMENTATIONS)
    if framework:
        check_known("framework", [framework], registry.FRAMEWORKS)
    return adapted(kernel, loading.implementation(like), name, framework=framework, strict=strict)


def _check_there(implementation: Implementation, device: str) -> None:
    modules = load_framework(implementation.framework)
    if isinstance(modules, Absent):
        raise RuntimeError(f"{implementation.name} cannot be asked: {modules.reason}")
    why = registry.framework(implementation.framework).unavailable(modules, device)
    if why is not None:
        raise RuntimeError(f"{implementation.name} cannot be asked: {why}")
