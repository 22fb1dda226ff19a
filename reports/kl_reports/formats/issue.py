"""Issue text: a failure in Markdown, for the maintainers of the implementation."""

import re
from collections.abc import Iterator

from kl_reports.analysis.scores import column_of, package_of
from kl_reports.analysis.witness import Witness, described, show
from kl_reports.analysis.wording import one_line, short_dtype, visible
from kl_reports.runfile.records import Result, Run


def issue(run: Run, result: Result) -> str:
    """Return title and text of an issue: requirement, observation, reproducer, and versions."""
    return "\n".join(_lines(run, result)) + "\n"


def _lines(run: Run, result: Result) -> Iterator[str]:
    column, requirement = column_of(run, result.column), run.header.requirements.get(result.requirement, {})
    witness = show(result.witness or {})
    dtype = short_dtype(column.dtype)
    sentence = one_line(str(requirement.get("sentence", "")), 500)
    yield f"# {one_line(column.implementation)}: {_title(result, witness)} ({one_line(dtype)})"
    yield ""
    if sentence:
        yield f"Expected: {sentence}"
        yield ""
    if result.detail:
        yield f"Observed: {one_line(result.detail, 1000)}"
        yield ""
    if witness.reproducer:
        yield from _fenced(witness.reproducer)
    if lines := described(witness, operands=not witness.reproducer, call=False):
        yield from (f"- `{line.replace('`', chr(39))}`" for line in lines)
        yield ""
    package = package_of(run, column)
    versions = [f"{package} {column.version}", column.device, column.mode]
    versions += [
        f"{name} {value}" for name, value in run.header.shared.items() if name in {"python", "platform", "numpy"}
    ]
    yield f"Versions: {one_line(', '.join(versions), 500)}."
    yield f"Found by kl-conformance {one_line(run.header.suite)}, requirement {one_line(result.requirement)}."


def _title(result: Result, witness: Witness) -> str:
    got, right, _ = witness.measured()
    if right:
        return f"returns {one_line(got, 40)}, expected {one_line(right, 40)}"
    return f"fails “{one_line(result.requirement, 80)}”"


def _fenced(script: str) -> Iterator[str]:
    longest = max((len(found) for found in re.findall("`+", script)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}python"
    yield visible(script.rstrip("\n"))
    yield fence
    yield ""
