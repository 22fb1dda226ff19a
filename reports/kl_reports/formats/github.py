"""Workflow commands of GitHub Actions: the failures of a run as annotations."""

from collections.abc import Iterator, Sequence

from kl_reports.analysis.findings import Places
from kl_reports.analysis.kernel import by_reason, failures, headline, judged, smallest
from kl_reports.analysis.wording import count, listed, one_line, visible
from kl_reports.formats.verdict_text import describe_reason, describe_result
from kl_reports.runfile.records import Result, Run


def github(run: Run, cause: str = "", file: str = "") -> str:
    """Return an ``::error`` for each failed requirement, or for all that fail for one reason.

    If none failed, there is one ``::notice``, or a ``::warning`` if nothing was judged. ``cause`` is the likely cause
    of the failures, a sentence; ``file`` is that of the kernel, where the annotation is shown; both may be empty.

    Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions, and for the escapes
    ``packages/core/src/command.ts`` of https://github.com/actions/toolkit.
    """
    return "\n".join(_lines(run, cause, file)) + "\n"


def _lines(run: Run, cause: str, file: str) -> Iterator[str]:
    found = failures(run)
    if not found:
        yield command("notice" if judged(run) else "warning", "kl-conformance", file, headline(run))
    shared, others = by_reason(found)
    for reason in shared:
        lines = [*describe_reason(run, reason), *([cause] if cause else [])]
        yield command("error", f"kl-conformance: {count(len(reason.results), 'requirement')}", file, "\n".join(lines))
    for requirement, results in others.items():
        lines = [*describe_result(run, smallest(results)), *_where(run, results), *([cause] if cause else [])]
        yield command("error", f"kl-conformance: {one_line(requirement)}", file, "\n".join(lines))


def _where(run: Run, results: Sequence[Result]) -> Iterator[str]:
    """Yield the implementations that fail, if the run has more than one."""
    if len(run.header.implementations) > 1:
        names = [" ".join((each.name, *each.dtypes)) for each in Places(run).of(results, {})]
        yield f"On {one_line(listed(names), 500)}."


def command(command: str, title: str, file: str, message: str) -> str:
    """Return one workflow command, its parts escaped."""
    where = f"file={_property(file)}," if file else ""
    return f"::{command} {where}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
