"""Requirement x implementation matrix of a run: rows by chapter, columns by framework."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from kl_reports.analysis.scores import column_of, level_of, package_of
from kl_reports.analysis.wording import LOOKS, count, listed, one_line, outcome, ratio, short_dtype, width_order
from kl_reports.page.chart import spark
from kl_reports.runfile.cell_id import chapter_of, slug_of
from kl_reports.runfile.records import Result, Run, Verdict

# With more cells than this only new failures and fixed deviations have labels: the labels would be most of the page.
# The other cells are described by the headers of the table.
LABELLED_CELLS = 6000


@dataclass(frozen=True, slots=True)
class Chip:
    """One cell as drawn; ``label`` describes it in full, ``href`` links to its details."""

    text: str
    style: str
    label: str
    href: str


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """The columns of one implementation that differ in dtype only: one column of the drawn matrix."""

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
        """The part of the implementation's name before the last one, such as ``torch.nn.functional.``."""
        return self.implementation[: len(self.implementation) - len(self.name)]

    @property
    def name(self) -> str:
        """The last part of the implementation's name, such as ``kl_div``."""
        return self.implementation.rpartition(".")[2] or self.implementation

    @property
    def description(self) -> str:
        """The group without its dtypes, such as ``torch.nn.functional.kl_div 2.13.0 cpu eager``."""
        return " ".join(filter(None, (self.implementation, self.version, self.device, self.mode)))


@dataclass(frozen=True, slots=True)
class Band:
    """Neighbouring groups of one framework, package, version, device and mode."""

    framework: str
    description: str
    span: int


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One requirement across all groups; a square has one chip per dtype, or one for all dtypes."""

    requirement: str
    slug: str
    level: str
    sentence: str
    squares: tuple[tuple[Chip, ...], ...]
    news: int
    spark: Markup


@dataclass(frozen=True, slots=True)
class MatrixChapter:
    """The requirements of one chapter; rows with new failures or fixed deviations come first."""

    name: str
    summary: str
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class UntestedGroup:
    """A group in which no cell ran; it is listed below the matrix instead of drawn."""

    name: str
    dtypes: str
    reason: str
    cells: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Everything that the section of the matrix shows."""

    bands: tuple[Band, ...]
    groups: tuple[ColumnGroup, ...]
    chapters: tuple[MatrixChapter, ...]
    untested: tuple[UntestedGroup, ...]


def matrix(run: Run, links: Mapping[str, str]) -> Matrix:
    """Return the matrix of a run; ``links`` has the link of each cell that has details elsewhere on the page."""
    cells = {(result.requirement, result.column): result for result in run.results}
    ran = {result.column for result in run.results if result.verdict is not Verdict.MISSING}
    groups = _groups(run)
    drawn = [group for group in groups if not ran.isdisjoint(group.keys)]
    labelled = len(run.results) <= LABELLED_CELLS
    rows = [
        _row(run, requirement, drawn, _Drawing(cells, links, labelled))
        for requirement in dict.fromkeys(result.requirement for result in run.results)
    ]
    return Matrix(
        bands=tuple(_bands(drawn)),
        groups=tuple(drawn),
        chapters=tuple(_chapters(rows)),
        untested=tuple(_untested(run, group) for group in groups if group not in drawn),
    )


def figure(result: Result) -> str:
    """Return a cell as a glyph and, if it was measured, a ratio: ``✓ 0.62``."""
    glyph = LOOKS[result.verdict].glyph
    return glyph if result.headroom is None else f"{glyph} {ratio(result.headroom)}"


def _groups(run: Run) -> list[ColumnGroup]:
    """Group the columns by everything except dtype; groups of one framework and version are neighbours."""
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
        pairs = sorted(members[place], key=lambda pair: (width_order(short_dtype(pair[0])), pair[0]))
        keys, dtypes = tuple(key for _, key in pairs), tuple(short_dtype(dtype) for dtype, _ in pairs)
        groups.append(ColumnGroup(framework, package, implementation, version, device, mode, keys, dtypes))
    return groups


def _bands(groups: Sequence[ColumnGroup]) -> Iterator[Band]:
    for place, members in groupby(
        groups, key=lambda group: (group.framework, group.package, group.version, group.device, group.mode)
    ):
        framework, package, *rest = place
        names = rest if package == framework else (package, *rest)
        yield Band(framework, " ".join(filter(None, names)), len(list(members)))


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Draws the square of one requirement and one group."""

    cells: Mapping[tuple[str, str], Result]
    links: Mapping[str, str]
    labelled: bool

    def square(self, requirement: str, group: ColumnGroup) -> tuple[Chip, ...]:
        results = [self.cells.get((requirement, key)) for key in group.keys]
        first = results[0]
        if len(results) > 1 and all(_alike(first, result) for result in results):
            return (self._chip(requirement, group, listed(group.dtypes), first),)
        return tuple(
            self._chip(requirement, group, dtype, result) for dtype, result in zip(group.dtypes, results, strict=True)
        )

    def _chip(self, requirement: str, group: ColumnGroup, dtype: str, result: Result | None) -> Chip:
        where = f"{one_line(requirement)} on {one_line(group.description)} {one_line(dtype)}"
        if result is None:
            return Chip("·", "z", f"{where}: not planned in this run", "")
        text, style = figure(result), LOOKS[result.verdict].style
        if result.verdict is Verdict.PASS and result.headroom is not None:
            style += f" h{min(int(10 * result.headroom), 9)}" if 0 <= result.headroom <= 1 else ""
        if not self.labelled and not result.verdict.is_news:
            return Chip(text, style, "", self.links.get(result.cell, ""))
        reason = f": {one_line(result.detail, 160)}" if result.detail else ""
        return Chip(text, style, f"{where}: {outcome(result)}{reason}", self.links.get(result.cell, ""))


def _alike(one: Result | None, other: Result | None) -> bool:
    """Whether two cells of a square can be drawn as one: same verdict and detail, and nothing was measured."""
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
        news=sum(result is not None and result.verdict.is_news for result in results),
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
        news = sum(row.news > 0 for row in members)
        summary = count(len(members), "requirement") + (f", {news} with new failures or fixes" if news else "")
        yield MatrixChapter(name, summary, tuple(sorted(members, key=lambda row: not row.news)))


def _untested(run: Run, group: ColumnGroup) -> UntestedGroup:
    results = [result for result in run.results if result.column in group.keys]
    reasons = list(dict.fromkeys(one_line(result.detail) or "no reason given" for result in results))
    reason = "; ".join(reasons[:3]) or "nothing planned"
    return UntestedGroup(group.description, ", ".join(group.dtypes), reason, len(results))
