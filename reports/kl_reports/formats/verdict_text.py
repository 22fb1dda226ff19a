"""One kernel's verdict on one screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from kl_reports.analysis.kernel import apart, broken, chapters, headline, smallest
from kl_reports.analysis.reasons import Reason, same
from kl_reports.analysis.scores import column_of, completeness, level_of, packages
from kl_reports.analysis.witness import described, show
from kl_reports.analysis.wording import LOOKS, count, listed, one_line, short_dtype, visible
from kl_reports.runfile.cell_id import slug_of
from kl_reports.runfile.records import Kind, Result, Run, Verdict

WIDTH = 110
TOLD = 4  # broken requirements told in full: what one screen holds


def verdict_text(run: Run, cause: str = "") -> str:
    """Return who was asked, what held and broke by chapter, and the worst in full; plain text, many lines.

    ``cause`` is the likely cause of what is broken, a sentence; empty where none is known.
    """
    blocks = (_verdict(run, cause), _asked(run), _chapters(run), _permitted(run), *_findings(run), _rest(run))
    words = ["\n".join(map(_folded, block)) for block in map(list, blocks) if block]
    return "\n\n".join([*words, *_script(run)]) + "\n"


def _verdict(run: Run, cause: str) -> Iterator[str]:
    found = broken(run)
    yield headline(run)
    if cause:
        yield f"  {one_line(cause)}"
    done = completeness(run)
    if done.cut_off or done.missing:
        yield f"  {done.sentence}"
        for reason in dict.fromkeys(each.detail for each in run.results if each.verdict is Verdict.MISSING):
            yield f"  missing: {one_line(reason)}"
    known = {same(each) for results in found.values() for each in results} - {""}
    other = {
        each.requirement: each.detail
        for each in run.results
        if each.verdict.is_news and each.requirement not in found and same(each) not in known
    }
    for requirement, detail in other.items():
        yield f"  its own way of doing, which breaks nothing: {one_line(requirement)}, {one_line(detail)}"
    yield from (f"  {one_line(remark)}" for remark in run.sentences)


def _asked(run: Run) -> Iterator[str]:
    for own in run.header.implementations.values():
        names = ("formula", "target (P)", "model (Q)", "reductions", "default reduction")
        formula, target, model, reductions, default = (one_line(own.get(each, ""), 240) for each in names)
        yield f"  computes  {formula}, of P: {target}, Q: {model}"
        yield f"            {reductions}; by default {default}"
    columns = list(run.header.columns.values())
    dtypes = dict.fromkeys(short_dtype(each.dtype) for each in columns)
    devices = dict.fromkeys(each.device for each in columns)
    yield (
        f"  asked     {one_line(listed(packages(run, columns)))} on {one_line(listed(list(devices)))} in "
        f"{one_line(listed(list(dtypes)))}; profile {one_line(run.header.profile)}, seed {run.header.seed}"
    )


def _chapters(run: Run) -> Iterator[str]:
    for chapter in chapters(run):
        glyph = LOOKS[Verdict.FAIL if chapter.broken else Verdict.PASS].glyph
        names = one_line(listed([slug_of(each) for each in chapter.broken], 6))
        yield (
            f"  {glyph} {one_line(chapter.name):11} {chapter.held}/{chapter.asked} held"
            + (f"; broken: {names}" if chapter.broken else "")
        )


def _permitted(run: Run) -> Iterator[str]:
    """Yield what was seen that is no fault of the kernel's own, and why; each reason once."""
    reasons = dict[str, dict[str, None]]()
    for result in run.results:
        if result.verdict is Verdict.EXPECTED:
            reasons.setdefault(result.detail, {})[result.requirement] = None
    for reason, requirements in list(reasons.items())[:TOLD]:
        yield f"  – {one_line(listed(list(requirements), 6))}: {one_line(reason, 400)}"
    if len(reasons) > TOLD:
        yield f"  – … and {count(len(reasons) - TOLD, 'reason')} more, in the run file and on the page."


def _findings(run: Run) -> Iterator[Iterator[str]]:
    """Yield the first findings in full, those with an input to look at before the others."""
    shared, others = apart(broken(run))
    found = sorted(others.items(), key=lambda each: smallest(each[1]).witness is None)
    for reason in shared[:TOLD]:
        yield _shared(run, reason)
    for requirement, results in found[: max(TOLD - len(shared), 0)]:
        yield _finding(run, requirement, results)


def _shared(run: Run, reason: Reason) -> Iterator[str]:
    first, *rest = told_once(run, reason)
    yield f"{LOOKS[reason.verdict].glyph} {first}"
    yield from (f"    {line}" for line in rest)


def told_once(run: Run, reason: Reason) -> list[str]:
    """Return lines that tell what breaks several requirements: which, what was seen, and the smallest input."""
    every = [each for results in reason.results.values() for each in results]
    result = smallest(every)
    dtypes = dict.fromkeys(short_dtype(column_of(run, each.column).dtype) for each in every)
    number = count(len(reason.results), "requirement")
    words = f"{reason.words}, and the like" if reason.varied else reason.words
    return [
        f"{number} ({one_line(', '.join(dtypes))}): {one_line(words, 500)}.",
        one_line(listed(list(reason.results), 6)),
        *([one_line(result.last_call, 500)] if result.last_call else []),
        *_seen(result),
    ]


def _finding(run: Run, requirement: str, results: Sequence[Result]) -> Iterator[str]:
    result = smallest(results)
    dtypes = dict.fromkeys(short_dtype(column_of(run, each.column).dtype) for each in results)
    about = one_line(", ".join((level_of(run, requirement), *dtypes)))
    first, *rest = told(run, requirement, result)
    yield f"{LOOKS[result.verdict].glyph} {one_line(requirement)} ({about}): {first}"
    yield from (f"    {line}" for line in rest)


def _rest(run: Run) -> Iterator[str]:
    shared, others = apart(broken(run))
    more = len(others) - max(TOLD - len(shared), 0)
    if more > 0:
        yield f"… and {count(more, 'more requirement')}, in the run file and on the page."


def _script(run: Run) -> Iterator[str]:
    """Yield how to see the first finding that has a short script."""
    for requirement, results in broken(run).items():
        script = show(smallest(results).witness or {}).reproducer
        if script:
            yield f"To see {one_line(requirement)} broken without this suite:"
            yield "\n".join(f"    {visible(line)}" for line in script.splitlines())
            return


def _folded(line: str) -> str:
    """Return a line as lines no wider than a screen, each as far in as what it goes on with."""
    inner = line.lstrip(" ")
    left = " " * (len(line) - len(inner) + (2 if line[:1] == " " else 4))
    return textwrap.fill(line, WIDTH, subsequent_indent=left, break_long_words=False, break_on_hyphens=False)


def told(run: Run, requirement: str, result: Result) -> list[str]:
    """Return lines that tell one result: what must hold, what was seen, and the smallest input."""
    lines = [one_line(str(run.header.requirements.get(requirement, {}).get("sentence", "")))]
    lines += [one_line(result.detail, 500)] if result.detail else []
    return [*lines, *_seen(result)]


def _seen(result: Result) -> list[str]:
    """Return lines that describe the smallest input, and what was measured there."""
    if result.witness is None:
        return []
    # The detail of a failure has the call, and where a number or a shape is wrong the numbers.
    told = result.verdict is Verdict.FAIL and result.kind in {Kind.NUMBER, Kind.SHAPE}
    return described(show(result.witness), call=False, numbers=not told)
