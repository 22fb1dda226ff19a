"""What a run says: its header, its results and its footer, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kl_reports.spread import Spread

FORMAT = "kl-conformance-run/1"


class Verdict(Enum):
    """The outcome of one cell; nothing that did not run is ever green, zero or blank."""

    PASS = "held on every problem asked"
    FAIL = "broken, and not a recorded deviation"
    EXPECTED = "a recorded deviation, replayed and still there"
    FIXED = "recorded as a deviation, but right now: the entry must go"
    UNDECIDED = "nothing asked could decide it"
    NONDETERMINISTIC = "the same call gave different bits"
    UNSUPPORTED = "declared not to apply, with the reason"
    CRASHED = "the process died while this was asked"
    TIMED_OUT = "gave no answer in the time allowed"
    MISSING = "never ran, with the reason"

    @property
    def is_news(self) -> bool:
        """Whether this verdict makes a run end with exit code 1."""
        return self in {
            Verdict.FAIL,
            Verdict.FIXED,
            Verdict.NONDETERMINISTIC,
            Verdict.CRASHED,
            Verdict.TIMED_OUT,
        }


class Kind(Enum):
    """What a failure consists of."""

    NUMBER = "number"
    """A number differs from the expected one by more than is allowed."""
    SHAPE = "shape"
    """The answer has another shape than expected."""
    NO_TENSOR = "no_tensor"
    """The call returned something that is no tensor."""
    RAISED = "raised"
    """The call raised where a value was expected."""
    ACCEPTED = "accepted"
    """The call returned a value where an error was expected."""
    CRASHED = "crashed"
    """The process ended during the call."""
    TIMED_OUT = "timed_out"
    """The call did not return in the time allowed."""
    HARNESS = "harness"
    """The suite itself failed; nothing is known of the implementation."""


@dataclass(frozen=True, slots=True)
class BudgetItem:
    """One allowance of a tolerance.

    Parameters
    ----------
    amount
        Its size, in ``unit``.
    name
        Short name, such as ``conditioning``.
    reason
        Why it is allowed, as a sentence.
    unit
        What ``amount`` counts, in words.
    """

    amount: float
    name: str
    reason: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """Implementation × version × device × dtype × mode."""

    implementation: str
    framework: str
    version: str
    device: str
    dtype: str
    mode: str

    @property
    def key(self) -> str:
        """The permalink form, such as ``torch.nn.functional.kl_div-2.13.0-cpu-float32-eager``."""
        parts = (self.implementation, self.version, self.device, self.dtype, self.mode)
        return "-".join(parts)


@dataclass(frozen=True, slots=True)
class Fixed:
    """What a cell gave on the problems that are the same in every run: the corpus and the grid.

    Parameters
    ----------
    problems
        How many judgements.
    headroom
        Largest error ÷ allowed error over them; None where nothing was measured.
    bits
        A hash of every output, bit for bit (16 hexadecimal digits): two runs that asked the same problems and
        got the same numbers have the same.
    """

    problems: int
    headroom: float | None
    bits: str


@dataclass(frozen=True, slots=True)
class Result:
    """One cell judged.

    Parameters
    ----------
    requirement, revision
        Id (``chapter/slug``) and revision of the requirement.
    column
        Key of the column.
    verdict
        The outcome.
    detail
        One or a few plain sentences: why missing or unsupported, or what is broken.
    headroom
        Largest error ÷ allowed error over all problems asked; None where nothing was measured.
    budget
        The itemised tolerance at the element of that headroom, one sentence an allowance.
    problems
        How many problems were asked.
    witness
        The smallest problem found that breaks the requirement, as plain data (IEEE values as bit patterns);
        None where nothing is broken.
    deviation
        Id of the recorded deviation behind EXPECTED or FIXED.
    seconds
        Time the cell took.
    spread
        How the errors lie within what is allowed; None where nothing was measured, and in files of an earlier day.
    fixed
        What was given on the problems that every run asks; None where one of them is broken already, and in files
        of an earlier day.
    arithmetic
        What was measured of its column's arithmetic, in words; said with one result of a column.
    kind
        What a failure consists of; None where nothing failed, and in files of an earlier day.
    explanation
        The alternative definition that the wrong value fits, as a clause; empty where none is known.
    """

    requirement: str
    revision: int
    column: str
    verdict: Verdict
    detail: str = ""
    headroom: float | None = None
    budget: tuple[str, ...] = ()
    problems: int = 0
    witness: Mapping[str, Any] | None = None
    deviation: str | None = None
    seconds: float = 0.0
    spread: Spread | None = None
    fixed: Fixed | None = None
    arithmetic: str = ""
    kind: Kind | None = None
    explanation: str = ""

    @property
    def cell(self) -> str:
        """``requirement@column``, the cell's permalink."""
        return f"{self.requirement}@{self.column}"


@dataclass(frozen=True, slots=True)
class Header:
    """What was asked of whom, on what machine, with every sentence needed to read the results later.

    Parameters
    ----------
    started
        ISO 8601 time in UTC.
    suite
        Version of kl-conformance.
    profile, seed
        Profile name and seed of the run.
    environment
        Python, platform, processor, versions of the packages asked; for people, in order.
    requirements
        For each id: ``level``, ``sentence``, ``formula``, ``reason``, ``link``, ``revision``, and ``problems``, a
        hash of the problems that every run of this suite and profile asks.
    implementations
        For each name: ``framework``, ``documentation`` and the Convention as text, one entry a property.
    columns
        Every column by key.
    planned
        Every cell (``requirement@column``) this run set out to judge.
    guide
        What people ask of a page, as plain data: ``questions``, each with ``asked``, ``answer``, the ``property``
        of implementations it turns on and the ``requirements`` whose cells answer it; and ``evidence``, the
        requirements that measure each property. Empty in files of an earlier day.
    """

    started: str
    suite: str
    profile: str
    seed: int
    environment: Mapping[str, str]
    requirements: Mapping[str, Mapping[str, Any]]
    implementations: Mapping[str, Mapping[str, str]]
    columns: Mapping[str, Column]
    planned: tuple[str, ...]
    guide: Mapping[str, Any] = field(default_factory=dict[str, Any])
    format: str = FORMAT


@dataclass(frozen=True, slots=True)
class Run:
    """A run file read back.

    Parameters
    ----------
    header
        Its header.
    results
        One result for every planned cell: what was recorded, and CRASHED or MISSING for the rest.
    finished
        ISO time of the footer; None when the file was cut off.
    remarks
        Sentences about the run itself, such as ``"torch.jsonl.gz was cut off after 312 of 640 cells"``.
    """

    header: Header
    results: tuple[Result, ...]
    finished: str | None = None
    remarks: tuple[str, ...] = field(default=())
