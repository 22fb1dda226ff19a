"""Records of a run file: header, columns, results and verdicts.

The fields declared here define the format: ``codec`` derives from them how a record is written, how it is checked
when it is read, and its JSON Schema.
"""

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
    """The outcome of one cell; the value is its meaning."""

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
        """Whether the requirement failed; a known deviation is a failure, too."""
        return self is Verdict.EXPECTED or (self.is_news and self is not Verdict.FIXED)

    @property
    def is_accepted(self) -> bool:
        """Whether the requirement passed or failed as recorded."""
        return self in {Verdict.PASS, Verdict.EXPECTED}

    @property
    def is_recorded(self) -> bool:
        """Whether a known deviation is recorded for the cell."""
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
        """Whether nothing needs attention: passed without a known deviation, or not judged."""
        return not (self.is_news or self is Verdict.EXPECTED)


class Kind(Enum):
    """What a failure consists of."""

    NUMBER = "number"  # a number is not within tolerance
    SHAPE = "shape"  # the answer has another shape than expected
    NO_TENSOR = "no_tensor"  # the call returned something that is no tensor
    RAISED = "raised"  # the call raised where a value was expected
    ACCEPTED = "accepted"  # the call returned a value where an error was expected
    CRASHED = "crashed"  # the process ended during the call
    TIMED_OUT = "timed_out"  # the call did not return in the time allowed
    HARNESS = "harness"  # the suite itself failed; the implementation was not judged


class Absence(Enum):
    """What a cell that was not run would have needed."""

    NO_DEVICE = "no_device"  # a device that this machine does not have
    NOT_INSTALLED = "not_installed"  # a framework or package that cannot be imported
    UNAVAILABLE = "unavailable"  # another resource, such as a compiler or enough memory
    SKIPPED = "skipped"  # a larger profile


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
        return "-".join((self.implementation, self.version, self.device, self.dtype, self.mode))


@dataclass(frozen=True, slots=True)
class Fixed:
    """The outputs on the fixed problems of a cell, the corpus and the grid, which are the same in every run.

    Parameters
    ----------
    problems
        Number of fixed problems evaluated.
    headroom
        Largest error ÷ allowed error over these problems; null if nothing was measured.
    bits
        Hash of all outputs (16 hexadecimal digits), equal for two runs with the same problems and the same output bits.
    """

    problems: int
    headroom: float | None
    bits: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one cell.

    Parameters
    ----------
    requirement, revision
        Id (``chapter/slug``) and revision of the requirement.
    column
        Key of the column.
    verdict
        The outcome.
    detail
        One or a few sentences: what failed, or why the cell was not run or does not apply.
    headroom
        Largest error ÷ allowed error over all problems; absent if nothing was measured.
    budget
        The itemised tolerance at the element of that headroom; empty if no error is allowed.
    problems
        Number of problems evaluated.
    witness
        The smallest problem found that fails the requirement, as plain data (IEEE values as bit patterns). Its
        ``call`` has ``function``, ``keywords`` (arguments as source text), ``side`` (the argument of a derivative,
        or null) and ``text``; ``layout`` has the memory layouts of ``target`` and ``model``; ``upstream`` has
        ``kind`` and ``layout`` of the upstream gradient, or is null.
    deviation
        Ids of the recorded deviations behind EXPECTED or FIXED, separated by ", "; see :attr:`deviations`.
    seconds
        Duration of the cell.
    spread
        Distribution of error ÷ allowed error; absent if nothing was measured.
    fixed
        Outputs on the fixed problems; absent if one of these problems fails.
    arithmetic
        Measured arithmetic of the column, as text; present in one result of the column.
    kind
        Kind of failure; absent if nothing failed. The key in a run file is ``failure``.
    explanation
        The alternative definition that the wrong value fits, as a clause; empty if none fits.
    happened
        The event that failed the requirement, as a clause (``it raised ValueError: …``, ``its process was ended by
        signal 11 (SIGSEGV)``); empty if a number is wrong.
    last_call
        Last call of a process that ended, as a sentence; empty otherwise.
    absence
        What a MISSING cell would have needed; absent if the run ended before the cell.
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

    @property
    def deviations(self) -> tuple[str, ...]:
        """Ids of the recorded deviations behind EXPECTED or FIXED."""
        return tuple(self.deviation.split(", ")) if self.deviation else ()


@dataclass(frozen=True, slots=True)
class Header:
    """What was run and where, with all texts needed to show the results later.

    Parameters
    ----------
    started
        ISO 8601 time in UTC.
    suite
        Version of kl-conformance.
    profile, seed
        Profile name and seed of the run.
    environment
        Python, platform and package versions, in order: one entry per merged run, by its label, with its ``seed``
        if seeds differ; a run that was not merged has one entry with an empty label.
    requirements
        For each id: ``level``, ``sentence``, ``formula``, ``reason``, ``link``, ``revision``, and ``problems``, a
        hash of the fixed problems of this suite and profile.
    implementations
        For each name: ``framework``, ``documentation``, and the Convention as text, one entry per property.
    columns
        Every column by key.
    planned
        Every cell (``requirement@column``) of the plan.
    guide
        The FAQ of the page: ``questions``, each with ``question``, ``answer``, a ``property`` of implementations
        and the ``requirements`` whose cells are the evidence; and ``evidence``, the requirements that measure each
        property.
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
        """The entries of the environment on which all merged runs agree."""
        return shared(self.environment)

    @property
    def differing(self) -> dict[str, dict[str, str]]:
        """The entries in which merged runs differ, each by the label of the run."""
        return differing(self.environment)

    @property
    def described(self) -> dict[str, str]:
        """All entries as one list; those that differ are named ``python [jax]``."""
        return described(self.environment)


@dataclass(frozen=True, slots=True)
class CutOff:
    """A run file without a footer: it ended before its run did.

    Parameters
    ----------
    file, judged, planned
        Name of the file, number of cells with a result, and number of planned cells.
    """

    file: str
    judged: int
    planned: int

    @property
    def sentence(self) -> str:
        """The record as a sentence, such as ``torch.jsonl.gz was cut off after 312 of 640 cells``."""
        return f"{self.file} was cut off after {self.judged} of {self.planned} cells"


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as read from a run file: one result per planned cell, the recorded one, or CRASHED or MISSING.

    ``finished`` is the ISO 8601 time in UTC of the footer, None if the run did not finish; ``remarks`` are statements
    about the run itself; ``cut_off`` are the run files that were cut off, among those merged.
    """

    header: Header
    results: tuple[Result, ...]
    finished: str | None = None
    remarks: tuple[str, ...] = ()
    cut_off: tuple[CutOff, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The cut-off files as sentences, then the remarks."""
        return (*(each.sentence for each in self.cut_off), *self.remarks)
