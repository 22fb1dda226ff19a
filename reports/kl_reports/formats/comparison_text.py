"""Text of a comparison for a terminal, and the lines that its other formats share."""

from collections.abc import Iterator, Sequence

from kl_reports.analysis.scores import completeness, level_of, packages, tested_columns
from kl_reports.analysis.wording import column_text, count, listed, moment, one_line
from kl_reports.comparison.change import DETAILED, MOVED, QUIET, Bucket, Change
from kl_reports.comparison.compare import Comparison
from kl_reports.formats.summary import describe_finding
from kl_reports.runfile.records import Run

NAMED = 25  # cells of a bucket that are listed; the JSON and the page have the rest


def text(comparison: Comparison) -> str:
    """Return the environments, the counts, and every change, as plain text.

    Without control characters, ending in a line end.
    """
    blocks = [
        [f"Old: {run_text(comparison.old)}", f"New: {run_text(comparison.new)}"],
        list(_environment(comparison)),
        [f"{headline(comparison)}.", *map(one_line, comparison.remarks)],
        *_buckets(comparison),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def headline(comparison: Comparison) -> str:
    """Return how many cells are in which bucket: ``2,604 cells: 3 regressed, 1 fixed, 2,600 unchanged``."""
    counts = [f"{number:,} {bucket_text(bucket)}" for bucket, number in comparison.counts.items()]
    return f"{count(len(comparison.changes), 'cell')}: {', '.join(counts)}"


def run_text(run: Run) -> str:
    """Return one of the two runs in a few sentences: packages, time, options and completeness."""
    header = run.header
    names = listed(packages(run, tested_columns(run)), 8)
    about = f"{moment(header.started)}, kl-conformance {header.suite}, profile {header.profile}, seed {header.seed}"
    whole = completeness(run)
    absent = "".join(f" {line[0].upper()}{line[1:]}." for line in whole.absent_devices)
    return f"{one_line(names)}; {one_line(about)}. {whole.sentence}{absent}"


def bucket_text(bucket: Bucket) -> str:
    """Return the name of a bucket as words."""
    return str(bucket.value).replace("-", " ")


def is_listed_by_cell(bucket: Bucket) -> bool:
    """Whether the cells of a bucket are listed one by one; those of others are listed by reason."""
    return bucket in (*DETAILED, *MOVED)


def cell_lines(comparison: Comparison, change: Change) -> Iterator[str]:
    """Yield lines that describe one cell: the reason, and in a detailed bucket the failed result."""
    yield f"{one_line(column_text(change.column))}: {one_line(change.reason)}"
    failed = change.witnessed
    if change.bucket in DETAILED and failed is not None:
        run = comparison.new if failed is change.new else comparison.old
        _, *rest = describe_finding(run, failed)
        yield from rest


def reason_lines(changes: Sequence[Change]) -> Iterator[str]:
    """Yield one line for all cells of a column that have the same reason."""
    found = dict[tuple[str, str], list[str]]()
    for change in changes:
        found.setdefault((column_text(change.column), change.reason), []).append(change.requirement)
    for (column, reason), requirements in [*found.items()][:NAMED]:
        yield f"{one_line(column)}: {one_line(reason)} {one_line(listed(requirements, 4))}"
    if len(found) > NAMED:
        yield f"… and {count(len(found) - NAMED, 'more line')}, on the page and in --format json."


def _environment(comparison: Comparison) -> Iterator[str]:
    if not comparison.environment:
        yield "The two environments are the same."
        return
    yield "What differs between the environments"
    for each in comparison.environment:
        yield f"  {one_line(each.name)}: {one_line(each.old) or 'none'} → {one_line(each.new) or 'none'}"


def _buckets(comparison: Comparison) -> Iterator[list[str]]:
    for bucket, number in comparison.counts.items():
        if bucket in QUIET:
            continue
        lines = [f"{bucket_text(bucket).upper()} ({number:,}): {bucket.meaning}"]
        if not is_listed_by_cell(bucket):
            yield [*lines, *(f"  {line}" for line in reason_lines(comparison.of(bucket)))]
            continue
        by_requirement = dict[str, list[Change]]()
        for change in comparison.of(bucket)[:NAMED]:
            by_requirement.setdefault(change.requirement, []).append(change)
        for requirement, changes in by_requirement.items():
            run = comparison.new if changes[0].new else comparison.old
            sentence = str(run.header.requirements.get(requirement, {}).get("sentence", ""))
            lines.append(f"  {one_line(requirement)} ({one_line(level_of(run, requirement))}): {one_line(sentence)}")
            for change in changes:
                lines += [f"    {line}" for line in cell_lines(comparison, change)]
        if number > NAMED:
            lines.append(f"  … and {count(number - NAMED, 'more cell')}, on the page and in --format json.")
        yield lines
