"""The matrix of a run: requirements by chapter, implementations by framework, a square for each pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from kl_reports.analysis.scores import column_of, level_of, package_of
from kl_reports.analysis.wording import LOOKS, count, listed, one_line, outcome, ratio, short_dtype
from kl_reports.page.chart import spark
from kl_reports.runfile.cell_id import chapter_of, slug_of
from kl_reports.runfile.records import Result, Run, Verdict

# With more cells than this only news has a sentence of its own, and all else is read by the table's headers:
# the sentences would be most of the page.
SPOKEN = 6000

_DTYPES = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Chip:
    """One cell as it is drawn; ``label`` is the whole sentence, ``href`` where more is said."""

    text: str
    style: str
    label: str
    href: str


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """The columns of one implementation that differ in nothing but dtype: one column of the drawn matrix."""

    framework: str
    package: str
    implementation: str
    version: str
    device: str
    mode: str
    keys: tuple[str, ...]
    dtypes: tuple[str, ...]

    @property
    def path(self) -> str:
        """What stands before the implementation's own name, such as ``torch.nn.functional.``."""
        return self.implementation[: len(self.implementation) - len(self.name)]

    @property
    def name(self) -> str:
        """The implementation's own name, such as ``kl_div``."""
        return self.implementation.rpartition(".")[2] or self.implementation

    @property
    def words(self) -> str:
        """The group in words, such as ``torch.nn.functional.kl_div 2.13.0 cpu eager``."""
        return " ".join(filter(None, (self.implementation, self.version, self.device, self.mode)))


@dataclass(frozen=True, slots=True)
class Band:
    """Neighbouring groups of one framework, package, version, device and mode."""

    framework: str
    words: str
    span: int


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One requirement across all groups; each square holds one chip a dtype, or one for them all."""

    requirement: str
    slug: str
    level: str
    sentence: str
    squares: tuple[tuple[Chip, ...], ...]
    broken: int
    spark: Markup


@dataclass(frozen=True, slots=True)
class MatrixChapter:
    """The requirements of one chapter, broken ones first."""

    name: str
    note: str
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """Columns in which no cell ran; they are named instead of drawn."""

    name: str
    dtypes: str
    reasons: str
    cells: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Everything the drawn matrix shows."""

    bands: tuple[Band, ...]
    groups: tuple[ColumnGroup, ...]
    chapters: tuple[MatrixChapter, ...]
    absent: tuple[Absent, ...]


def matrix(run: Run, links: Mapping[str, str]) -> Matrix:
    """Return the matrix of a run.

    Parameters
    ----------
    run
        The run.
    links
        For each cell of which the page says more, where.
    """
    cells = {(result.requirement, result.column): result for result in run.results}
    ran = {result.column for result in run.results if result.verdict is not Verdict.MISSING}
    groups = _groups(run)
    drawn = [group for group in groups if not ran.isdisjoint(group.keys)]
    spoken = len(run.results) <= SPOKEN
    rows = [
        _row(run, requirement, drawn, _Drawing(cells, links, spoken))
        for requirement in dict.fromkeys(result.requirement for result in run.results)
    ]
    return Matrix(
        bands=tuple(_bands(drawn)),
        groups=tuple(drawn),
        chapters=tuple(_chapters(rows)),
        absent=tuple(_absent(run, group) for group in groups if group not in drawn),
    )


def _groups(run: Run) -> list[ColumnGroup]:
    """Return the columns gathered by all but dtype, frameworks and their versions kept together."""
    members: dict[tuple[str, str, str, str, str, str], list[tuple[str, str]]] = {}
    for key in dict.fromkeys((*run.header.columns, *(result.column for result in run.results))):
        column = column_of(run, key)
        package = package_of(run, column)
        name = column.implementation
        place = (column.framework, package, column.version, column.device, column.mode, name)
        members.setdefault(place, []).append((column.dtype, key))
    bands = list(dict.fromkeys(place[:5] for place in members))
    groups: list[ColumnGroup] = []
    for place in sorted(members, key=lambda place: bands.index(place[:5])):
        framework, package, version, device, mode, implementation = place
        pairs = sorted(members[place], key=lambda pair: _dtype_order(pair[0]))
        keys, dtypes = tuple(key for _, key in pairs), tuple(short_dtype(dtype) for dtype, _ in pairs)
        groups.append(ColumnGroup(framework, package, implementation, version, device, mode, keys, dtypes))
    return groups


def _dtype_order(dtype: str) -> tuple[int, str]:
    return (_DTYPES.index(dtype) if dtype in _DTYPES else len(_DTYPES)), dtype


def _bands(groups: Sequence[ColumnGroup]) -> Iterator[Band]:
    for place, members in groupby(
        groups, key=lambda group: (group.framework, group.package, group.version, group.device, group.mode)
    ):
        framework, package, *rest = place
        own = () if package == framework else (package,)
        yield Band(framework, " ".join(filter(None, (*own, *rest))), len(list(members)))


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Draws the square of one requirement and one group."""

    cells: Mapping[tuple[str, str], Result]
    links: Mapping[str, str]
    spoken: bool

    def square(self, requirement: str, group: ColumnGroup) -> tuple[Chip, ...]:
        results = [self.cells.get((requirement, key)) for key in group.keys]
        first = results[0]
        if len(results) > 1 and all(_alike(first, result) for result in results):
            return (self._chip(requirement, group, listed(group.dtypes), first),)
        return tuple(
            self._chip(requirement, group, dtype, result)
            for dtype, result in zip(group.dtypes, results, strict=True)
        )

    def _chip(self, requirement: str, group: ColumnGroup, dtype: str, result: Result | None) -> Chip:
        where = f"{one_line(requirement)} on {one_line(group.words)} {one_line(dtype)}"
        if result is None:
            return Chip("·", "z", f"{where}: not planned in this run", "")
        look = LOOKS[result.verdict]
        text = look.glyph if result.headroom is None else f"{look.glyph} {ratio(result.headroom)}"
        style = look.style
        if result.verdict is Verdict.PASS and result.headroom is not None:
            style += f" h{min(int(10 * result.headroom), 9)}" if 0 <= result.headroom <= 1 else ""
        if not self.spoken and not result.verdict.is_news:
            return Chip(text, style, "", self.links.get(result.cell, ""))
        reason = f": {one_line(result.detail, 160)}" if result.detail else ""
        return Chip(text, style, f"{where}: {outcome(result)}{reason}", self.links.get(result.cell, ""))


def _alike(one: Result | None, other: Result | None) -> bool:
    """Whether two cells of a square can be drawn as one: nothing was measured, and they say the same."""
    if one is None or other is None:
        return one is other
    alike = (one.verdict, one.detail) == (other.verdict, other.detail)
    return alike and one.verdict.is_calm and one.headroom is None and other.headroom is None


def _row(run: Run, requirement: str, groups: Sequence[ColumnGroup], drawing: _Drawing) -> MatrixRow:
    results = [drawing.cells.get((requirement, key)) for group in groups for key in group.keys]
    return MatrixRow(
        requirement=requirement,
        slug=slug_of(requirement) or requirement,
        level=level_of(run, requirement),
        sentence=str(run.header.requirements.get(requirement, {}).get("sentence", "")),
        squares=tuple(drawing.square(requirement, group) for group in groups),
        broken=sum(result is not None and result.verdict.is_news for result in results),
        spark=spark(
            [
                result.headroom
                for result in results
                if result is not None and result.verdict is Verdict.PASS and result.headroom is not None
            ]
        ),
    )


def _chapters(rows: Sequence[MatrixRow]) -> Iterator[MatrixChapter]:
    chapters: dict[str, list[MatrixRow]] = {}
    for row in rows:
        chapters.setdefault(chapter_of(row.requirement), []).append(row)
    for name, members in chapters.items():
        broken = sum(row.broken > 0 for row in members)
        note = count(len(members), "requirement") + (f", {broken} with news" if broken else "")
        yield MatrixChapter(name, note, tuple(sorted(members, key=lambda row: not row.broken)))


def _absent(run: Run, group: ColumnGroup) -> Absent:
    results = [result for result in run.results if result.column in group.keys]
    reasons = list(dict.fromkeys(one_line(result.detail) or "no reason given" for result in results))
    return Absent(
        group.words, ", ".join(group.dtypes), "; ".join(reasons[:3]) or "nothing planned", len(results)
    )
