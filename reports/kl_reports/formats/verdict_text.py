"""Verdict on a user kernel as text for one screen."""

import textwrap
from collections.abc import Iterator, Sequence

from kl_reports.analysis.kernel import by_reason, chapters, failures, headline, smallest
from kl_reports.analysis.reasons import Reason, reason_key
from kl_reports.analysis.scores import column_of, completeness, level_of, packages, passed_of_total, tested_columns
from kl_reports.analysis.witness import described, show
from kl_reports.analysis.wording import LOOKS, count, listed, one_line, short_dtype, visible
from kl_reports.runfile.cell_id import slug_of
from kl_reports.runfile.records import Absence, Kind, Result, Run, Verdict

WIDTH = 110
DETAILED = 4  # failed requirements described in full: what one screen holds


def verdict_text(run: Run, cause: str = "") -> str:
    """Return the verdict, the tested kernel, the score of each chapter and the worst failures; plain text, many lines.

    ``cause`` is the likely cause of the failures, a sentence; empty if none is known.
    """
    blocks = (_verdict(run, cause), _tested(run), _chapters(run), _deviations(run), *_findings(run), _rest(run))
    texts = ["\n".join(map(_folded, block)) for block in map(list, blocks) if block]
    return "\n\n".join([*texts, *_script(run)]) + "\n"


def _verdict(run: Run, cause: str) -> Iterator[str]:
    found = failures(run)
    yield headline(run)
    if cause:
        yield f"  {one_line(cause)}"
    yield from _missing(run)
    known = {reason_key(each) for results in found.values() for each in results} - {""}
    conventions = {
        each.requirement: each.detail
        for each in run.results
        if each.verdict.is_news and each.requirement not in found and reason_key(each) not in known
    }
    for requirement, detail in conventions.items():
        yield (
            "  deviates from a CONVENTION requirement (not counted as a failure): "
            f"{one_line(requirement)}, {one_line(detail)}"
        )
    yield from (f"  {one_line(remark)}" for remark in run.sentences)


def _missing(run: Run) -> Iterator[str]:
    """Yield how much of the run there is, and why the rest was not run."""
    whole = completeness(run)
    if whole.cut_off or whole.missing:
        yield f"  {whole.sentence}"
    yield from (f"  {line}" for line in whole.absent_devices)
    reasons = (
        each.detail for each in run.results if each.verdict is Verdict.MISSING and each.absence is not Absence.NO_DEVICE
    )
    yield from (f"  not run: {one_line(reason)}" for reason in dict.fromkeys(reasons))


def _tested(run: Run) -> Iterator[str]:
    for convention in run.header.implementations.values():
        names = ("formula", "target (P)", "model (Q)", "reductions", "default reduction")
        formula, target, model, reductions, default = (one_line(convention.get(each, ""), 240) for each in names)
        yield f"  computes  {formula}, of P: {target}, Q: {model}"
        yield f"            {reductions}; by default {default}"
    columns = tested_columns(run)
    dtypes = dict.fromkeys(short_dtype(each.dtype) for each in columns)
    devices = dict.fromkeys(each.device for each in columns)
    yield (
        f"  tested    {one_line(listed(packages(run, columns)))} on {one_line(listed(list(devices)))} in "
        f"{one_line(listed(list(dtypes)))}; profile {one_line(run.header.profile)}, seed {run.header.seed}"
    )


def _chapters(run: Run) -> Iterator[str]:
    for chapter in chapters(run):
        glyph = LOOKS[Verdict.FAIL if chapter.failed else Verdict.PASS].glyph
        names = one_line(listed([slug_of(each) for each in chapter.failed], 6))
        yield (
            f"  {glyph} {one_line(chapter.name):11} {passed_of_total(chapter.counts)}"
            + (f": {names}" if chapter.failed else "")
        )


def _deviations(run: Run) -> Iterator[str]:
    """Yield the known deviations with their reasons; each reason once."""
    reasons = dict[str, dict[str, None]]()
    for result in run.results:
        if result.verdict is Verdict.EXPECTED:
            reasons.setdefault(result.detail, {})[result.requirement] = None
    for reason, requirements in list(reasons.items())[:DETAILED]:
        yield (f"  {LOOKS[Verdict.EXPECTED].glyph} {one_line(listed(list(requirements), 6))}: {one_line(reason, 400)}")
    if len(reasons) > DETAILED:
        yield f"    … and {count(len(reasons) - DETAILED, 'more reason')}, in the run file and on the page."


def _findings(run: Run) -> Iterator[Iterator[str]]:
    """Yield the first findings in full, those with an input before the others."""
    shared, others = by_reason(failures(run))
    found = sorted(others.values(), key=lambda results: smallest(results).witness is None)
    for reason in shared[:DETAILED]:
        yield _shared(run, reason)
    for results in found[: max(DETAILED - len(shared), 0)]:
        yield _finding(run, results)


def _shared(run: Run, reason: Reason) -> Iterator[str]:
    first, *rest = describe_reason(run, reason)
    yield f"{LOOKS[reason.verdict].glyph} {first}"
    yield from (f"    {line}" for line in rest)


def describe_reason(run: Run, reason: Reason) -> list[str]:
    """Return lines that describe a reason: requirements, event, last call and the smallest input."""
    cells = [each for results in reason.results.values() for each in results]
    result = smallest(cells)
    dtypes = dict.fromkeys(short_dtype(column_of(run, each.column).dtype) for each in cells)
    number = count(len(reason.results), "requirement")
    event = f"{reason.event}, and similar" if reason.varied else reason.event
    return [
        f"{number} ({one_line(', '.join(dtypes))}): {one_line(event, 500)}.",
        one_line(listed(list(reason.results), 6)),
        *([one_line(result.last_call, 500)] if result.last_call else []),
        *_witness(result),
    ]


def _finding(run: Run, results: Sequence[Result]) -> Iterator[str]:
    result = smallest(results)
    dtypes = dict.fromkeys(short_dtype(column_of(run, each.column).dtype) for each in results)
    about = one_line(", ".join((level_of(run, result.requirement), *dtypes)))
    first, *rest = describe_result(run, result)
    yield f"{LOOKS[result.verdict].glyph} {one_line(result.requirement)} ({about}): {first}"
    yield from (f"    {line}" for line in rest)


def _rest(run: Run) -> Iterator[str]:
    shared, others = by_reason(failures(run))
    more = len(others) - max(DETAILED - len(shared), 0)
    if more > 0:
        yield f"… and {count(more, 'more requirement')}, in the run file and on the page."


def _script(run: Run) -> Iterator[str]:
    """Yield the reproducer of the first finding that has one."""
    for requirement, results in failures(run).items():
        script = show(smallest(results).witness or {}).reproducer
        if script:
            yield f"To reproduce the failure of {one_line(requirement)} without this suite:"
            yield "\n".join(f"    {visible(line)}" for line in script.splitlines())
            return


def _folded(line: str) -> str:
    """Return a line as lines no wider than a screen, the continuation lines indented further."""
    text = line.lstrip(" ")
    left = " " * (len(line) - len(text) + (2 if line[:1] == " " else 4))
    return textwrap.fill(line, WIDTH, subsequent_indent=left, break_long_words=False, break_on_hyphens=False)


def describe_result(run: Run, result: Result) -> list[str]:
    """Return lines that describe one result: the requirement, the observation and the smallest input."""
    requirement = run.header.requirements.get(result.requirement, {})
    lines = [one_line(str(requirement.get("sentence", "")))]
    lines += [one_line(result.detail, 500)] if result.detail else []
    return [*lines, *_witness(result)]


def _witness(result: Result) -> list[str]:
    """Return lines that describe the smallest input and the numbers measured on it."""
    if result.witness is None:
        return []
    # The detail of a failure has the call, and the numbers where a number or a shape is wrong.
    in_detail = result.verdict is Verdict.FAIL and result.kind in {Kind.NUMBER, Kind.SHAPE}
    return described(show(result.witness), call=False, numbers=not in_detail)
