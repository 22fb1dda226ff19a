"""verify() and assert_conforms(): verifies one user kernel in this process."""

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
from kl_reports.analysis.kernel import failures
from kl_reports.analysis.witness import Witness, show
from kl_reports.formats.verdict_text import verdict_text
from kl_reports.runfile.records import Column, Run


@dataclass(frozen=True, slots=True)
class FailedRequirement:
    """A failed requirement in one column.

    Parameters
    ----------
    requirement, sentence
        Id and text of the requirement.
    column
        The column.
    detail
        Description of the failure.
    witness
        The smallest failing problem found, with the returned value, the expected value and the allowed error; None
        if the failure is not one of a number.
    reproducer
        A script that shows the failure without this suite, and has been executed; empty if there is none.
    """

    requirement: str
    sentence: str
    column: Column
    detail: str
    witness: Witness | None
    reproducer: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying a kernel; its text is one screen."""

    run: Run

    @property
    def conforms(self) -> bool:
        """Whether problems were evaluated, and no MUST or SHOULD requirement failed unexpectedly."""
        return bool(self.run.results) and not failures(self.run) and any(each.problems for each in self.run.results)

    @property
    def findings(self) -> tuple[FailedRequirement, ...]:
        """Every failed cell, requirement by requirement."""
        return tuple(self._found())

    def _found(self) -> Iterator[FailedRequirement]:
        header = self.run.header
        for requirement, results in failures(self.run).items():
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
        """The likely cause of all findings, as a sentence; empty if no cause clearly fits."""
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
    """Evaluate all requirements for a kernel, in this process.

    A kernel that crashes or hangs does so in the caller's process; ``kl-conformance verify`` evaluates it in a child
    process, names the call, and continues.

    Parameters
    ----------
    kernel
        A function, module, class of modules or losses, Implementation, or the name of one of these
        (``module:name`` or ``file.py:name``).
    like
        Name of the built-in implementation that the kernel follows (see ``kl-conformance list implementations``).
        Optional for an Implementation.
    device, dtype
        Device, and dtypes; all dtypes of ``like`` if empty.
    profile, seed
        ``"quick"``, ``"standard"`` or ``"thorough"``; a new seed if None, recorded in ``run.header``.
    strict
        Whether known deviations of ``like`` are failures of the kernel.
    shape
        Rows and classes of an additional size to test, such as the size of use.
    framework
        Framework of the tensors that it takes (``"numpy"`` for a NumPy or C function); that of ``like`` if empty.
    name
        Name in the report; the kernel's own name if empty.

    Raises
    ------
    ValueError
        A name is unknown, or the kernel cannot be called as ``like`` is called.
    RuntimeError
        The framework is not installed, or does not support the device.
    FloatingPointError
        This thread's arithmetic does not follow IEEE 754, for example because it flushes subnormal numbers: no result
        would be valid.
    """
    require_ieee()
    dtypes = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    check_known("profile", [profile], [each.value for each in TestProfile])
    effort = TestProfile(profile)
    selection = Selection(
        devices=(device,),
        dtypes=dtypes,
        profile=effort,
        seed=secrets.randbelow(2**32) if seed is None else seed,
        shape=shape,
        reduced=reduced_dtypes(dtypes, effort),
    )
    selection.check()
    implementation = _implementation(kernel, like, name, framework, strict=strict)
    plan = Plan.of(selection, [implementation])
    if not plan.cells:
        raise ValueError(f"{implementation.name!r} cannot be tested on {device} in {', '.join(dtypes) or 'any dtype'}")
    _check_available(implementation, device)
    header = headers.header(selection, plan.cells)
    session = Session(selection)
    results = [session.evaluate(each) for each in plan.cells]
    run = Run(header, tuple(results), datetime.now(UTC).isoformat(timespec="seconds"))
    return Verification(confirmed(run, kernel))


def assert_conforms(kernel: Any, like: str = "", **options: Any) -> None:
    """Raise an AssertionError with the verdict unless a kernel conforms; the options are those of :func:`verify`."""
    __tracebackhide__ = True
    result = verify(kernel, like, **options)
    if not result.conforms:
        raise AssertionError(f"\n{result}")


def _implementation(kernel: Any, like: str, name: str, framework: str, *, strict: bool) -> Implementation:
    if isinstance(kernel, Implementation) and not like:
        return checked(kernel)
    if isinstance(kernel, str):
        return loading.implementation(kernel, like, framework=framework, strict=strict)
    check_known("implementation", [like], registry.IMPLEMENTATIONS)
    if framework:
        check_known("framework", [framework], registry.FRAMEWORKS)
    return adapted(kernel, loading.implementation(like), name, framework=framework, strict=strict)


def _check_available(implementation: Implementation, device: str) -> None:
    modules = load_framework(implementation.framework)
    if isinstance(modules, Absent):
        raise RuntimeError(f"{implementation.name} cannot be tested: {modules.reason}")
    reason = registry.framework(implementation.framework).unavailable(modules, device)
    if reason is not None:
        raise RuntimeError(f"{implementation.name} cannot be tested: {reason}")
