"""A run in sentences, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from kl_reports.analysis.scores import column_of, completeness, level_of, packages, scores
from kl_reports.analysis.witness import described, show
from kl_reports.analysis.wording import column_words, count, listed, one_line, outcome, short_dtype
from kl_reports.runfile.records import Result, Run, Verdict

_NAMED = 25  # so many findings are told in full; the page and the run file have the rest
_REASONS = 8  # why cells are missing: a line for each framework that may not be there


def exit_code(run: Run) -> int:
    """Return 1 when any cell has news, else 0."""
    return int(any(result.verdict.is_news for result in run.results))


def summary(run: Run) -> str:
    """Return who was asked, how much of it ran, what each implementation holds, and every piece of news.

    Plain text without control characters, ending in a line end.
    """
    blocks = (_completeness(run), _asked(run), _scores(run), _news(run), _next(run))
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block) + "\n"


def _completeness(run: Run) -> Iterator[str]:
    yield completeness(run).sentence
    reasons: dict[str, int] = {}
    for result in run.results:
        if result.verdict is Verdict.MISSING:
            reasons[result.detail] = reasons.get(result.detail, 0) + 1
    for reason, number in sorted(reasons.items(), key=lambda entry: -entry[1])[:_REASONS]:
        yield f"  {count(number, 'cell')} missing: {one_line(reason) or 'no reason given'}"
    for sentence in run.sentences:
        yield f"  {one_line(sentence)}"


def _asked(run: Run) -> Iterator[str]:
    header = run.header
    columns = list(header.columns.values())
    devices = dict.fromkeys(column.device for column in columns)
    dtypes = dict.fromkeys(short_dtype(column.dtype) for column in columns)
    yield (
        f"Asked {one_line(listed(packages(run, columns), 12))} on {one_line(listed(list(devices)))} "
        f"in {one_line(listed(list(dtypes), 8))}."
    )
    yield (
        f"kl-conformance {one_line(header.suite)}, profile {one_line(header.profile)}, seed {header.seed}, "
        f"started {one_line(header.started)}."
    )


def _scores(run: Run) -> Iterator[str]:
    for score in scores(run):
        yield f"{one_line(score.implementation)} {one_line(score.version)}: {score.sentence}"


def _news(run: Run) -> Iterator[str]:
    news = [result for result in run.results if result.verdict.is_news]
    if not news:
        yield "Nothing new is broken: everything that ran is as it should be or as recorded."
        return
    findings: dict[tuple[Verdict, str], list[Result]] = {}
    for result in sorted(news, key=lambda result: list(Verdict).index(result.verdict)):
        findings.setdefault((result.verdict, result.requirement), []).append(result)
    yield f"{count(len(news), 'cell')} with news:"
    left = _NAMED
    for (verdict, requirement), results in findings.items():
        if left <= 0:
            break
        yield ""
        sentence = str(run.header.requirements.get(requirement, {}).get("sentence", ""))
        level = one_line(level_of(run, requirement))
        yield f"{verdict.name} {one_line(requirement)} ({level}): {one_line(sentence)}"
        for result in results[:left]:
            yield from told(run, result)
        left -= len(results)
    if len(news) > _NAMED:
        yield ""
        yield f"… and {count(len(news) - _NAMED, 'more cell')}, on the page and in the run file."


def told(run: Run, result: Result) -> Iterator[str]:
    """Yield the lines that tell a finding: where, how far, what was seen, the witness and its numbers."""
    yield f"  {one_line(column_words(column_of(run, result.column)))}: {outcome(result)}"
    if result.detail:
        yield f"      {one_line(result.detail, 600)}"
    if result.deviation:
        yield f"      recorded as {one_line(result.deviation)}"
    yield from (f"      {line}" for line in described(show(result.witness or {})))


def _next(run: Run) -> Iterator[str]:
    seen: dict[Verdict, Result] = {}
    for result in run.results:
        seen.setdefault(result.verdict, result)
    advice = {
        Verdict.FAIL: "kl-conformance explain {} says what must hold and why.",
        Verdict.NONDETERMINISTIC: "Ask the same cell again with the same seed to see the spread.",
        Verdict.FIXED: "Remove the entry from expectations/: what it records is right now ({}).",
        Verdict.CRASHED: "Run the crashed implementation alone to see how its process ends ({}).",
        Verdict.TIMED_OUT: "Run the timed out cell alone, or with a smaller profile ({}).",
    }
    lines = [
        text.format(one_line(seen[verdict].deviation or seen[verdict].requirement))
        for verdict, text in advice.items()
        if verdict in seen
    ]
    if run.finished is None:
        lines.append(
            "Run what was cut off again and merge both run files: kl-conformance merge OLD NEW -o RUN"
        )
    if lines:
        yield "What to do next"
        yield from (f"  {line}" for line in lines)
