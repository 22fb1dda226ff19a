"""A comparison in words: for a terminal, as Markdown, as JSON, and as workflow commands of GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kl_reports.analysis.scores import completeness, level_of, packages
from kl_reports.analysis.witness import show
from kl_reports.analysis.wording import column_words, count, escaped, listed, moment, one_line
from kl_reports.comparison.change import MOVED, QUIET, TOLD, Bucket, Change
from kl_reports.comparison.compare import Comparison
from kl_reports.formats.github import command
from kl_reports.formats.markdown import LIMIT
from kl_reports.formats.summary import told
from kl_reports.runfile.bits import encode
from kl_reports.runfile.codec import plain
from kl_reports.runfile.records import Result, Run

FORMAT = "kl-conformance-comparison/1"
_NAMED = 25  # so many cells of a bucket are told; the JSON and the page have the rest


def exit_code(comparison: Comparison, fail_on: Iterable[Bucket]) -> int:
    """Return 1 when any cell is in one of these buckets, else 0."""
    return int(any(comparison.counts.get(bucket) for bucket in fail_on))


def text(comparison: Comparison) -> str:
    """Return the comparison for a terminal: the environments, the counts, then every piece of news.

    Plain text without control characters, ending in a line end.
    """
    blocks = [
        [f"Old: {_side(comparison.old)}", f"New: {_side(comparison.new)}"],
        list(_environment(comparison)),
        [f"{headline(comparison)}.", *map(one_line, comparison.remarks)],
        *_buckets(comparison),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def headline(comparison: Comparison) -> str:
    """Return how many cells are in which bucket: ``2,604 cells: 3 regressed, 1 fixed, 2,600 unchanged``."""
    words = [f"{number:,} {_words(bucket)}" for bucket, number in comparison.counts.items()]
    return f"{count(len(comparison.changes), 'cell')}: {', '.join(words)}"


def markdown(comparison: Comparison, limit: int = LIMIT) -> str:
    """Return the comparison as Markdown of at most so many bytes; a bucket that does not fit is left out whole."""
    blocks = ["\n".join(block) for block in _markdown(comparison)]
    kept = list[str]()
    for block in blocks:
        if len("\n\n".join([*kept, block]).encode()) <= limit - 200:
            kept.append(block)
    if len(kept) < len(blocks):
        kept.append(f"{count(len(blocks) - len(kept), 'section')} left out, as there is no room.")
    return "\n\n".join(kept) + "\n"


def as_json(comparison: Comparison) -> str:
    """Return the comparison as JSON, ASCII only.

    ==================  ==============================================================================
    ``format``          ``"kl-conformance-comparison/1"``
    ``old``, ``new``    of each run: ``packages``, ``started``, ``profile``, ``seed``, ``suite``, ``complete``
    ``environment``     what differs, each with ``name``, ``old`` and ``new``
    ``counts``          cells by bucket
    ``changes``         every cell that is not unchanged
    ``remarks``         sentences about the runs
    ==================  ==============================================================================

    A change has ``requirement``, ``level``, ``sentence``, ``implementation``, ``device``, ``dtype``, ``mode``,
    ``bucket``, ``why``, ``old`` and ``new`` (``verdict``, ``detail``, ``headroom`` as a bit pattern or null, ``got``,
    ``right`` and ``allowed`` at the worst element as decimals in text, and ``witness`` as run files have it; null
    where that run has no such cell) and ``replayed`` (``old`` and ``new``:
    passed, failed, unstable or not tested; null if the witness was not replayed).
    """
    data = {
        "format": FORMAT,
        "old": _run(comparison.old),
        "new": _run(comparison.new),
        "environment": [
            {"name": each.name, "old": each.old, "new": each.new} for each in comparison.environment
        ],
        "counts": {bucket.value: number for bucket, number in comparison.counts.items()},
        "changes": [
            _change(comparison, change) for change in comparison.changes if change.bucket not in QUIET
        ],
        "remarks": list(comparison.remarks),
    }
    return json.dumps(data, indent=2, allow_nan=False)


def commands(comparison: Comparison, fail_on: Sequence[Bucket]) -> str:
    """Return an ``::error`` for each cell in a bucket that fails, and one ``::notice`` with the counts."""
    lines = [
        command("error", f"kl-conformance: {_words(bucket)}", "", "\n".join(_cell(comparison, change)))
        for bucket in fail_on
        for change in comparison.of(bucket)[:_NAMED]
    ]
    lines.append(command("notice", "kl-conformance compare", "", f"{headline(comparison)}."))
    return "\n".join(lines) + "\n"


def _side(run: Run) -> str:
    header = run.header
    names = listed(packages(run, list(header.columns.values())), 8)
    about = f"{moment(header.started)}, kl-conformance {header.suite}, profile {header.profile}, seed {header.seed}"
    return f"{one_line(names)}; {one_line(about)}. {completeness(run).sentence}"


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
        lines = [f"{_words(bucket).upper()} ({number:,}): {bucket.meaning}"]
        if bucket not in (*TOLD, *MOVED):
            yield [*lines, *(f"  {line}" for line in _together(comparison.of(bucket)))]
            continue
        for requirement, changes in _by_requirement(comparison.of(bucket)[:_NAMED]).items():
            run = comparison.new if changes[0].new else comparison.old
            sentence = str(run.header.requirements.get(requirement, {}).get("sentence", ""))
            lines.append(
                f"  {one_line(requirement)} ({one_line(level_of(run, requirement))}): {one_line(sentence)}"
            )
            for change in changes:
                lines += [f"    {line}" for line in _cell(comparison, change)]
        if number > _NAMED:
            lines.append(f"  … and {count(number - _NAMED, 'more cell')}, on the page and in --format json.")
        yield lines


def _together(changes: Sequence[Change]) -> Iterator[str]:
    """Yield one line for all cells of a column that have the same reason."""
    found = dict[tuple[str, str], list[str]]()
    for change in changes:
        found.setdefault((column_words(change.column), change.why), []).append(change.requirement)
    for (column, why), requirements in [*found.items()][:_NAMED]:
        yield f"{one_line(column)}: {one_line(why)} {one_line(listed(requirements, 4))}"
    if len(found) > _NAMED:
        yield f"… and {count(len(found) - _NAMED, 'more line')}, on the page and in --format json."


def _by_requirement(changes: Sequence[Change]) -> Mapping[str, list[Change]]:
    found = dict[str, list[Change]]()
    for change in changes:
        found.setdefault(change.requirement, []).append(change)
    return found


def _cell(comparison: Comparison, change: Change) -> Iterator[str]:
    """Yield the lines of one cell: what became of it, and for news what was seen on the broken side."""
    yield f"{one_line(column_words(change.column))}: {one_line(change.why)}"
    broken = change.witnessed
    if change.bucket in TOLD and broken is not None:
        run = comparison.new if broken is change.new else comparison.old
        _, *rest = told(run, broken)
        yield from rest


def _markdown(comparison: Comparison) -> Iterator[list[str]]:
    yield [f"# {escaped(headline(comparison))}"]
    yield [
        f"- {which}: {escaped(_side(run))}"
        for which, run in (("Old", comparison.old), ("New", comparison.new))
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
        lines = [f"## {_words(bucket).capitalize()} ({number:,}): {bucket.meaning}", ""]
        if bucket not in (*TOLD, *MOVED):
            yield [*lines, *(f"- {escaped(line, 600)}" for line in _together(comparison.of(bucket)))]
            continue
        for change in comparison.of(bucket)[:_NAMED]:
            first, *rest = _cell(comparison, change)
            lines.append(f"- **{escaped(change.requirement)}** {escaped(first)}")
            lines += [f"  - {escaped(line.strip())}" for line in rest]
        if number > _NAMED:
            lines.append(f"- … and {count(number - _NAMED, 'more cell')}.")
        yield lines


def _words(bucket: Bucket) -> str:
    return bucket.value.replace("-", " ")


def _run(run: Run) -> Mapping[str, Any]:
    header = run.header
    return {
        "packages": packages(run, list(header.columns.values())),
        "started": header.started,
        "profile": header.profile,
        "seed": header.seed,
        "suite": header.suite,
        "complete": completeness(run).complete,
    }


def _change(comparison: Comparison, change: Change) -> Mapping[str, Any]:
    run = comparison.new if change.new else comparison.old
    seen = change.replayed
    return {
        "requirement": change.requirement,
        "level": level_of(run, change.requirement),
        "sentence": str(run.header.requirements.get(change.requirement, {}).get("sentence", "")),
        "implementation": change.column.implementation,
        "device": change.column.device,
        "dtype": change.column.dtype,
        "mode": change.column.mode,
        "bucket": change.bucket.value,
        "why": change.why,
        "old": _result(change.old),
        "new": _result(change.new),
        "replayed": None if seen is None else {"old": seen.old.value, "new": seen.new.value, "why": seen.why},
    }


def _result(result: Result | None) -> Mapping[str, Any] | None:
    if result is None:
        return None
    got, right, allowed = ("", "", "") if result.witness is None else show(result.witness).measured()
    return {
        "verdict": result.verdict.name,
        "detail": result.detail,
        "headroom": None if result.headroom is None else encode(result.headroom),
        "got": got or None,
        "right": right or None,
        "allowed": allowed or None,
        "witness": None if result.witness is None else plain(result.witness),
    }
