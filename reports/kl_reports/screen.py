"""One kernel's verdict on one screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kl_reports.reason import Reason, reasons, same
from kl_reports.result import Kind, Result, Run, Verdict, chapter_of, slug_of
from kl_reports.tally import column_of, completeness, level_of, packages
from kl_reports.witness import described, show
from kl_reports.wording import LOOKS, count, listed, one_line, short_dtype, visible

WIDTH = 110
TOLD = 4  # broken requirements told in full: what one screen holds
BINDING = ("MUST", "SHOULD")


@dataclass(frozen=True, slots=True)
class Chapter:
    """How one chapter's requirements fared: how many were asked and held, and which are broken."""

    name: str
    asked: int
    broken: tuple[str, ...]

    @property
    def held(self) -> int:
        """How many were asked and are not broken."""
        return self.asked - len(self.broken)


def screen(run: Run, cause: str = "") -> str:
    """Return who was asked, what held and broke by chapter, and the worst in full; plain text, many lines.

    ``cause`` is the likely cause of what is broken, a sentence; empty where none is known.
    """
    blocks = (_verdict(run, cause), _asked(run), _chapters(run), _permitted(run), *_findings(run), _rest(run))
    words = ["\n".join(map(_folded, block)) for block in map(list, blocks) if block]
    return "\n\n".join([*words, *_script(run)]) + "\n"


def judged(run: Run) -> bool:
    """Whether anything at all was held against the kernel."""
    return bool(broken(run)) or any(each.verdict.is_accepted for each in run.results)


def chapters(run: Run) -> list[Chapter]:
    """Return the chapters of which anything was asked, in the order they were asked."""
    found, asked = broken(run), dict[str, dict[str, None]]()
    for result in run.results:
        if result.verdict.has_run:
            asked.setdefault(chapter_of(result.requirement), {})[result.requirement] = None
    return [
        Chapter(name, len(requirements), tuple(each for each in requirements if each in found))
        for name, requirements in asked.items()
    ]


def smallest(results: Sequence[Result]) -> Result:
    """Return the result with the smallest witness."""
    return min(results, key=_numbers)


def broken(run: Run) -> dict[str, list[Result]]:
    """Return the results with news by requirement, MUST before SHOULD; a CONVENTION breaks nothing."""
    found: dict[str, list[Result]] = {}
    for level in BINDING:
        for result in run.results:
            if result.verdict.is_news and level_of(run, result.requirement) == level:
                found.setdefault(result.requirement, []).append(result)
    return found


def headline(run: Run) -> str:
    """Return the verdict in one line."""
    names = one_line(listed(list(run.header.implementations)))
    asked = {each.requirement for each in run.results if each.verdict.is_accepted}
    found = broken(run)
    if found:
        return f"✗ {names}: {len(found)} of {count(len(asked | found.keys()), 'requirement')} broken."
    if not asked:
        return f"? {names}: nothing was judged."
    return f"✓ {names}: {count(len(asked), 'requirement')} held, none broken."


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


def apart(found: dict[str, list[Result]]) -> tuple[list[Reason], dict[str, list[Result]]]:
    """Return the reasons for which several requirements are broken, and what is broken beside them."""
    shared = [each for each in reasons(found) if len(each.results) > 1]
    taken = {result.cell for each in shared for results in each.results.values() for result in results}
    others = {name: [each for each in results if each.cell not in taken] for name, results in found.items()}
    return shared, {name: left for name, left in others.items() if left}


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


def _numbers(result: Result) -> int:
    if result.witness is None:
        return 1 << 30
    witness = show(result.witness)
    return sum(values.total for values in (witness.target, witness.model) if values is not None)
