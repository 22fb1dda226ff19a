"""Markdown of a comparison, for a CI job."""

from collections.abc import Iterator

from kl_reports.analysis.wording import count, escaped
from kl_reports.comparison.change import QUIET
from kl_reports.comparison.compare import Comparison
from kl_reports.formats.comparison_text import (
    NAMED,
    bucket_text,
    cell_lines,
    headline,
    is_listed_by_cell,
    reason_lines,
    run_text,
)
from kl_reports.formats.markdown import LIMIT


def markdown(comparison: Comparison, limit: int = LIMIT) -> str:
    """Return the comparison as Markdown of at most ``limit`` bytes; a bucket that does not fit is omitted whole."""
    blocks = ["\n".join(block) for block in _blocks(comparison)]
    fitting = list[str]()
    for block in blocks:
        if len("\n\n".join([*fitting, block]).encode()) <= limit - 200:
            fitting.append(block)
    if len(fitting) < len(blocks):
        fitting.append(f"{count(len(blocks) - len(fitting), 'section')} omitted for size.")
    return "\n\n".join(fitting) + "\n"


def _blocks(comparison: Comparison) -> Iterator[list[str]]:
    yield [f"# {escaped(headline(comparison))}"]
    yield [
        f"- {side}: {escaped(run_text(run), 1000)}" for side, run in (("Old", comparison.old), ("New", comparison.new))
    ]
    if comparison.environment:
        rows = [
            f"| {escaped(each.name)} | {escaped(each.old) or '–'} | {escaped(each.new) or '–'} |"
            for each in comparison.environment
        ]
        yield ["## What differs between the environments", "", "| | old | new |", "|---|---|---|", *rows]
    for bucket, number in comparison.counts.items():
        if bucket in QUIET:
            continue
        lines = [f"## {bucket_text(bucket).capitalize()} ({number:,}): {bucket.meaning}", ""]
        if not is_listed_by_cell(bucket):
            yield [*lines, *(f"- {escaped(line, 600)}" for line in reason_lines(comparison.of(bucket)))]
            continue
        for change in comparison.of(bucket)[:NAMED]:
            first, *rest = cell_lines(comparison, change)
            lines.append(f"- **{escaped(change.requirement)}** {escaped(first)}")
            lines += [f"  - {escaped(line.strip())}" for line in rest]
        if number > NAMED:
            lines.append(f"- … and {count(number - NAMED, 'more cell')}.")
        yield lines
