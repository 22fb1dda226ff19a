"""One kernel's verdict on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kl_reports.result import Result, Run, Verdict
from kl_reports.tally import column_of, completeness, level_of, packages
from kl_reports.witness import Values, show
from kl_reports.wording import LOOKS, count, listed, one_line, short_dtype

TOLD = 6  # broken requirements told in full: what one screen holds
BINDING = ("MUST", "SHOULD")


def screen(run: Run) -> str:
    """Return who was asked, what held and broke by chapter, and the worst in full; plain text, many lines."""
    blocks = (_verdict(run), _asked(run), _chapters(run), _broken(run))
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block) + "\n"


def broken(run: Run) -> dict[str, list[Result]]:
    """Return the results with news by requirement, MUST before SHOULD; a CONVENTION breaks nothing."""
    found: dict[str, list[Result]] = {}
    for level in BINDING:
        for result in run.results:
            if result.verdict.is_news and level_of(run, result.requirement) == level:
                found.setdefault(result.requirement, []).append(result)
    return found


def _verdict(run: Run) -> Iterator[str]:
    names = one_line(listed(list(run.header.implementations)))
    asked = {each.requirement for each in run.results if each.verdict in {Verdict.PASS, Verdict.EXPECTED}}
    found = broken(run)
    if found:
        yield f"✗ {names}: {len(found)} of {count(len(asked | found.keys()), 'requirement')} broken."
    elif not asked:
        yield f"? {names}: nothing was judged."
    else:
        yield f"✓ {names}: {count(len(asked), 'requirement')} held, none broken."
    done = completeness(run)
    if done.cut_off or done.missing:
        yield f"  {done.sentence}"
        for reason in dict.fromkeys(each.detail for each in run.results if each.verdict is Verdict.MISSING):
            yield f"  missing: {one_line(reason)}"
    other = [
        each.requirement for each in run.results if each.verdict.is_news and each.requirement not in found
    ]
    if other:
        yield f"  its own way of doing, which breaks nothing: {one_line(listed(list(dict.fromkeys(other))))}"
    yield from (f"  {one_line(remark)}" for remark in run.remarks)


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
    held: dict[str, set[str]] = {}
    for result in run.results:
        own = held.setdefault(result.requirement.partition("/")[0], set())
        if result.verdict not in {Verdict.UNSUPPORTED, Verdict.MISSING}:
            own.add(result.requirement)
    found = broken(run)
    for chapter, requirements in held.items():
        if requirements:
            bad = [each for each in requirements if each in found]
            glyph = LOOKS[Verdict.FAIL if bad else Verdict.PASS].glyph
            names = one_line(listed(sorted(each.partition("/")[2] for each in bad), 6))
            yield (
                f"  {glyph} {one_line(chapter):11} {len(requirements) - len(bad)}/{len(requirements)} held"
                + (f"; broken: {names}" if bad else "")
            )


def _broken(run: Run) -> Iterator[str]:
    found = broken(run)
    for requirement, results in list(found.items())[:TOLD]:
        yield from _told(run, requirement, results)
        yield ""
    if len(found) > TOLD:
        yield f"… and {count(len(found) - TOLD, 'more requirement')}, in the run file and on the page."


def _told(run: Run, requirement: str, results: Sequence[Result]) -> Iterator[str]:
    """Tell a broken requirement by the cell with the smallest witness."""
    result = min(results, key=_numbers)
    about = run.header.requirements.get(requirement, {})
    glyph, level, sentence = (
        LOOKS[result.verdict].glyph,
        level_of(run, requirement),
        about.get("sentence", ""),
    )
    yield f"{glyph} {one_line(requirement)} ({one_line(level)}): {one_line(str(sentence))}"
    if result.detail:
        yield f"    {one_line(result.detail, 500)}"
    if result.witness is not None:
        witness = show(result.witness)
        for name, values in (("P", witness.target), ("Q", witness.model)):
            if values is not None:
                yield f"    {name} = {_values(values)}"
        got, right, allowed = witness.answer()
        if right:
            yield f"    got {one_line(got)}, right {one_line(right)}, allowed error {one_line(allowed)}"
    dtypes = [short_dtype(column_of(run, each.column).dtype) for each in results]
    yield f"    seen in {', '.join(dict.fromkeys(dtypes))}"


def _values(values: Values) -> str:
    about = ", ".join(filter(None, (values.space, values.shape)))
    return one_line(values.brief()) + (f" ({one_line(about)})" if about else "")


def _numbers(result: Result) -> int:
    if result.witness is None:
        return 1 << 30
    witness = show(result.witness)
    return sum(values.total for values in (witness.target, witness.model) if values is not None)
