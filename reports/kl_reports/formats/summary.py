"""Text summary of a run, for a terminal."""

from collections import Counter
from collections.abc import Iterator

from kl_reports.analysis.scores import column_of, completeness, level_of, packages, scores, tested_columns
from kl_reports.analysis.witness import described, show
from kl_reports.analysis.wording import column_text, count, listed, one_line, outcome, short_dtype
from kl_reports.runfile.records import Absence, Result, Run, Verdict

_DETAILED = 25  # cells described in full; the page and the run file have the rest
_REASONS = 8  # reasons for cells that were not run: one for each framework that may be absent


def exit_code(run: Run) -> int:
    """Return 1 if any cell has a new failure or a fixed record, else 0."""
    return int(any(result.verdict.is_news for result in run.results))


def summary(run: Run) -> str:
    """Return what ran and passed, the tested columns, the score of each implementation, and the new failures.

    Plain text without control characters, ending in a line end.
    """
    blocks = (_completeness(run), _tested(run), _scores(run), _failures(run), _next(run))
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block) + "\n"


def _completeness(run: Run) -> Iterator[str]:
    whole = completeness(run)
    yield whole.sentence
    yield from (f"  {line}" for line in whole.absent_devices)
    reasons = Counter(
        result.detail
        for result in run.results
        if result.verdict is Verdict.MISSING and result.absence is not Absence.NO_DEVICE
    )
    for reason, number in reasons.most_common(_REASONS):
        yield f"  {count(number, 'cell')} not run: {one_line(reason) or 'no reason given'}"
    for sentence in run.sentences:
        yield f"  {one_line(sentence)}"


def _tested(run: Run) -> Iterator[str]:
    header = run.header
    columns = tested_columns(run)
    devices = dict.fromkeys(column.device for column in columns)
    dtypes = dict.fromkeys(short_dtype(column.dtype) for column in columns)
    yield (
        f"Tested {one_line(listed(packages(run, columns), 12))} on {one_line(listed(list(devices)))} "
        f"in {one_line(listed(list(dtypes), 8))}."
    )
    yield (
        f"kl-conformance {one_line(header.suite)}, profile {one_line(header.profile)}, seed {header.seed}, "
        f"started {one_line(header.started)}."
    )


def _scores(run: Run) -> Iterator[str]:
    for score in scores(run):
        yield f"{one_line(score.implementation)} {one_line(score.version)}: {score.sentence}"


def _failures(run: Run) -> Iterator[str]:
    new = [result for result in run.results if result.verdict.is_news]
    if not new:
        if any(result.verdict.has_run for result in run.results):
            yield "No new failures: every cell that ran passed, failed only as recorded, or is undecided."
        return
    findings: dict[tuple[Verdict, str], list[Result]] = {}
    for result in sorted(new, key=lambda result: list(Verdict).index(result.verdict)):
        findings.setdefault((result.verdict, result.requirement), []).append(result)
    yield f"New failures and fixed records: {count(len(new), 'cell')}"
    left = _DETAILED
    for (verdict, requirement), results in findings.items():
        if left <= 0:
            break
        yield ""
        sentence = str(run.header.requirements.get(requirement, {}).get("sentence", ""))
        level = one_line(level_of(run, requirement))
        yield f"{verdict.name} {one_line(requirement)} ({level}): {one_line(sentence)}"
        for result in results[:left]:
            yield from describe_finding(run, result)
        left -= len(results)
    if len(new) > _DETAILED:
        yield ""
        yield f"… and {count(len(new) - _DETAILED, 'more cell')}, on the page and in the run file."


def describe_finding(run: Run, result: Result) -> Iterator[str]:
    """Yield lines that describe a finding: column, headroom, detail, the witness and its numbers."""
    yield f"  {one_line(column_text(column_of(run, result.column)))}: {outcome(result)}"
    if result.detail:
        yield f"      {one_line(result.detail, 600)}"
    if result.deviation:
        yield f"      recorded as {one_line(result.deviation)}"
    yield from (f"      {line}" for line in described(show(result.witness or {})))


def _next(run: Run) -> Iterator[str]:
    first: dict[Verdict, Result] = {}
    for result in run.results:
        first.setdefault(result.verdict, result)
    advice = {
        Verdict.FAIL: "Run `kl-conformance explain {}` for the requirement and its rationale.",
        Verdict.NONDETERMINISTIC: "Run the same cell again with the same seed to see how its results vary.",
        Verdict.FIXED: "Remove the record from expectations/: the deviation is gone ({}).",
        Verdict.CRASHED: "Run the crashed implementation alone to see how its process ends ({}).",
        Verdict.TIMED_OUT: "Run the timed out cell alone, or with a smaller profile ({}).",
    }
    lines = [
        text.format(one_line(first[verdict].deviation or first[verdict].requirement))
        for verdict, text in advice.items()
        if verdict in first
    ]
    if run.finished is None:
        lines.append("Repeat the run that was cut off and merge both run files: kl-conformance merge OLD NEW -o RUN")
    if lines:
        yield "What to do next"
        yield from (f"  {line}" for line in lines)
