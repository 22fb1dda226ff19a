"""The records of a run file: header, results and footer.

What is declared here is what a run file holds: ``record`` derives from these fields how a record is written, how
it is checked when it is read, and the JSON Schema of a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.codec import Form, key
from kl_reports.runfile.distribution import ErrorDistribution
from kl_reports.runfile.environment import Environment, described, differing, shared

FORMAT = "kl-conformance-run/2"
Cell = Annotated[str, Form("@", "requirement@column")]


class Verdict(Enum):
    """The outcome of one cell; nothing that did not run is ever green, zero or blank."""

    PASS = "every problem evaluated is within tolerance"
    FAIL = "a problem fails, and no known deviation covers it"
    EXPECTED = "fails as recorded; never counted as passed"
    FIXED = "recorded as a deviation, but no witness shows it any more: the record must be removed"
    UNDECIDED = "no problem of the profile exercises the requirement"
    NONDETERMINISTIC = "failed once, and passed when the same problem was repeated"
    UNSUPPORTED = "declared not to apply, with the reason"
    CRASHED = "the process ended during the cell"
    TIMED_OUT = "a call did not return in the time allowed"
    MISSING = "the cell was not run, with the reason"

    @property
    def is_news(self) -> bool:
        """Whether this verdict makes a run end with exit code 1."""
        return self in {Verdict.FAIL, Verdict.FIXED, Verdict.NONDETERMINISTIC} or self.is_silent

    @property
    def is_good(self) -> bool:
        """Whether the requirement passed."""
        return self in {Verdict.PASS, Verdict.FIXED}

    @property
    def is_bad(self) -> bool:
        """Whether the requirement failed; a recorded deviation is a failure all the same."""
        return self is Verdict.EXPECTED or (self.is_news and self is not Verdict.FIXED)

    @property
    def is_accepted(self) -> bool:
        """Whether the requirement passed, or failed only as recorded."""
        return self in {Verdict.PASS, Verdict.EXPECTED}

    @property
    def is_recorded(self) -> bool:
        """Whether a recorded deviation was met, or is recorded and gone."""
        return self in {Verdict.EXPECTED, Verdict.FIXED}

    @property
    def is_silent(self) -> bool:
        """Whether the call never returned."""
        return self in {Verdict.CRASHED, Verdict.TIMED_OUT}

    @property
    def has_run(self) -> bool:
        """Whether the cell was run at all."""
        return self not in {Verdict.UNSUPPORTED, Verdict.MISSING}

    @property
    def is_judged(self) -> bool:
        """Whether the requirement passed or failed."""
        return self.is_good or self.is_bad

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to look into: passed without a recorded deviation, or not judged."""
        return not (self.is_news or self is Verdict.EXPECTED)


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


class Absence(Enum):
    """What a cell that was not run would have needed."""

    NO_DEVICE = "no_device"
    """A device that this machine does not have."""
    NOT_INSTALLED = "not_installed"
    """A framework or package that cannot be imported."""
    UNAVAILABLE = "unavailable"
    """Something else that this machine does not have, such as a compiler or enough memory."""
    SKIPPED = "skipped"
    """A larger profile."""


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
    """What a cell returned on the problems that are the same in every run: the corpus and the grid.

    Parameters
    ----------
    problems
        How many judgements.
    headroom
        Largest error ÷ allowed error over them; absent where nothing was measured.
    bits
        A hash of every output, bit for bit (16 hexadecimal digits): two runs with the same problems and the
        same outputs have the same hash.
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
        One or a few plain sentences: why missing or unsupported, or what failed.
    headroom
        Largest error ÷ allowed error over all problems; absent where nothing was measured.
    budget
        The itemised tolerance at the element of that headroom; empty where nothing is allowed.
    problems
        How many problems were evaluated.
    witness
        The smallest problem found that fails the requirement, as plain data (IEEE values as bit patterns). Its
        ``call`` has ``function``, ``keywords`` (arguments as source text), ``side`` (what it is differentiated by,
        or null) and ``text``; its ``layout`` the memory layout of ``target`` and ``model``; its ``upstream`` is
        null or has ``kind`` and ``layout`` of the upstream gradient.
    deviation
        Id of the recorded deviation behind EXPECTED or FIXED.
    seconds
        Time the cell took.
    spread
        The distribution of the errors relative to what is allowed; absent where nothing was measured.
    fixed
        What was returned on the problems of every run; absent where one of them fails already.
    arithmetic
        What was measured of its column's arithmetic, as text; present in one result of a column.
    kind
        What a failure consists of; absent where nothing failed. The key in a run file is ``failure``.
    explanation
        The alternative definition that the wrong value fits, as a clause; empty where none is known.
    happened
        What happened where no number is wrong, as a clause: ``it raised ValueError: …``, ``its process was ended
        by signal 11 (SIGSEGV)``; empty where a number is wrong.
    last_call
        The last call of a process that ended, as a sentence; empty elsewhere.
    absence
        What a MISSING cell would have needed; absent where the run ended before the cell.
    """

    requirement: str
    revision: int
    column: str
    verdict: Verdict
    detail: str = ""
    headroom: float | None = None
    budget: tuple[BudgetItem, ...] = ()
    problems: int = 0
    witness: Mapping[str, Any] | None = None
    deviation: str | None = None
    seconds: float = 0.0
    spread: ErrorDistribution | None = None
    fixed: Fixed | None = None
    arithmetic: str = ""
    kind: Kind | None = field(default=None, metadata=key("failure"))
    explanation: str = ""
    happened: str = ""
    last_call: str = ""
    absence: Absence | None = None

    @property
    def cell(self) -> str:
        """``requirement@column``, the cell's permalink."""
        return f"{self.requirement}@{self.column}"


@dataclass(frozen=True, slots=True)
class Header:
    """What was run, on what machine, with every sentence needed to read the results later.

    Parameters
    ----------
    started
        ISO 8601 time in UTC.
    suite
        Version of kl-conformance.
    profile, seed
        Profile name and seed of the run.
    environment
        Python, platform and package versions, in order: one entry for each merged run by its label, with its ``seed``
        where seeds differ; a run that is not merged has one entry, whose label is empty.
    requirements
        For each id: ``level``, ``sentence``, ``formula``, ``reason``, ``link``, ``revision``, and ``problems``, a
        hash of the problems that every run of this suite and profile evaluates.
    implementations
        For each name: ``framework``, ``documentation`` and the Convention as text, one entry a property.
    columns
        Every column by key.
    planned
        Every cell (``requirement@column``) this run set out to judge.
    guide
        The FAQ of a page, as plain data: ``questions``, each with ``asked``, ``answer``, the ``property`` of
        implementations that it is about and the ``requirements`` whose cells answer it; and ``evidence``, the
        requirements that measure each property.
    """

    started: str
    suite: str
    profile: str
    seed: int
    environment: Environment
    requirements: Mapping[str, Mapping[str, Any]]
    implementations: Mapping[str, Mapping[str, str]]
    columns: Mapping[str, Column]
    planned: tuple[Cell, ...]
    guide: Mapping[str, Any] = field(default_factory=dict[str, Any])
    format: str = FORMAT

    @property
    def shared(self) -> dict[str, str]:
        """The entries of the environment on which all runs merged here agree."""
        return shared(self.environment)

    @property
    def differing(self) -> dict[str, dict[str, str]]:
        """The entries in which they differ, each by the label of the run."""
        return differing(self.environment)

    @property
    def described(self) -> dict[str, str]:
        """All entries as one list for people; those that differ are named ``python [jax]``."""
        return described(self.environment)


@dataclass(frozen=True, slots=True)
class CutOff:
    """A run file that ended before its run did.

    Parameters
    ----------
    file
        Its name.
    judged, planned
        How many of its cells have a result, and how many were planned.
    """

    file: str
    judged: int
    planned: int

    @property
    def sentence(self) -> str:
        """The same as a sentence, such as ``torch.jsonl.gz was cut off after 312 of 640 cells``."""
        return f"{self.file} was cut off after {self.judged} of {self.planned} cells"


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
        Sentences about the run itself.
    cut_off
        The files among those merged here that were cut off.
    """

    header: Header
    results: tuple[Result, ...]
    finished: str | None = None
    remarks: tuple[str, ...] = field(default=())
    cut_off: tuple[CutOff, ...] = field(default=())

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which files were cut off, as sentences, and the remarks."""
        return (*(each.sentence for each in self.cut_off), *self.remarks)
