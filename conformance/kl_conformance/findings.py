"""What the recorded deviations are, as a document that a maintainer would want to be sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kl_conformance import registry
from kl_conformance.expectation import Expectation, recorded
from kl_conformance.reproducer import reproducer
from kl_reference.dtype import Dtype
from kl_reports.result import Column
from kl_reports.witness import show

SEEN = Path(__file__).parent / "findings.json"
HEAD = """\
# Findings: what the implementations asked here get wrong

Made by `kl-conformance expect findings` from the recorded deviations (`kl_conformance/expectations/`) and from what
`kl-conformance expect check --keep` last saw of each; do not edit.

A finding stands where the mathematics and the implementation's own documentation say that the implementation is
wrong, and is replayed on every run. For each implementation they come in the order in which a user is likely to meet
them: what somebody has reported before what nobody has, what float32 or float64 shows before what only 16 bits show,
what breaks more requirements before what breaks fewer. A reproducer is complete and imports nothing of ours; it ends in
an AssertionError as long as the finding is there.
"""
WIDE = {Dtype.FLOAT64.label, Dtype.FLOAT32.label}
# Which of what was seen is kept: what has a reproducer, in the format people use most.
PREFERRED = (Dtype.FLOAT32.label, Dtype.FLOAT64.label, Dtype.FLOAT16.label, Dtype.BFLOAT16.label)


def told(requirement: str, column: Column, witness: Mapping[str, Any]) -> dict[str, str]:
    """Return a deviation that was seen, in words: the input, what it gave, what is right, and its reproducer."""
    words = show(witness)
    got, right, allowed = words.measured()
    sides = {"P": words.target, "Q": words.model}
    return {
        "requirement": requirement,
        "implementation": column.implementation,
        "version": column.version,
        "device": column.device,
        "dtype": column.dtype,
        "case": words.case,
        "call": words.call,
        "note": words.note,
        "got": got,
        "right": right,
        "allowed": allowed,
        "script": reproducer(requirement, column, witness),
        **{name: own.described for name, own in sides.items() if own},
    }


def better(new: Mapping[str, str], old: Mapping[str, str] | None) -> bool:
    """Whether a person is better shown the one than the other."""
    return old is None or _rank(new) < _rank(old)


def _rank(seen: Mapping[str, str]) -> tuple[bool, bool, int]:
    return not seen["script"], not seen["right"], PREFERRED.index(seen["dtype"])


@cache
def evidence() -> Mapping[str, Mapping[str, str]]:
    """Return what was last seen of each deviation, by its id."""
    return json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.is_file() else {}


def findings() -> str:
    """Return the document."""
    return "\n".join(_document())


def _document() -> Iterator[str]:
    yield HEAD
    for implementations, entries in _groups().items():
        yield f"## {', '.join(implementations)}\n"
        for entry in sorted(entries, key=_likelihood):
            yield from _finding(entry, evidence().get(entry.id))


def _groups() -> Mapping[tuple[str, ...], list[Expectation]]:
    """Return the entries by the implementations they speak of, in the order in which these are shown."""
    found = dict[tuple[str, ...], list[Expectation]]()
    for framework in registry.asked_frameworks():
        for entry in recorded(framework):
            found.setdefault(entry.implementations, []).append(entry)
    return found


def _likelihood(entry: Expectation) -> tuple[bool, bool, int, str]:
    """Return what puts a finding before others: smaller comes first."""
    unreported = entry.link == "none found"
    narrow = bool(entry.dtypes) and not WIDE & set(entry.dtypes)
    return unreported, narrow, -len(entry.requirements), entry.id


def _finding(entry: Expectation, seen: Mapping[str, str] | None) -> Iterator[str]:
    yield f"### {entry.id}\n"
    yield f"{entry.reason}\n"
    formats = ", ".join(entry.dtypes) or "every format"
    where = f" on {', '.join(entry.devices)}" if entry.devices else ""
    yield f"- Where: `{entry.region.text}`, in {formats}{where}; there `{entry.instead.text}`."
    yield f"- Versions: `{entry.versions}`. Upstream: {entry.link}."
    yield f"- Breaks: {', '.join(entry.requirements)}."
    if seen is None:
        yield "- Not seen where this was made.\n"
        return
    yield from _example(seen)
    yield ""
    if seen["script"]:
        yield f"```python\n{seen['script']}```\n"


def _example(seen: Mapping[str, str]) -> Iterator[str]:
    """Yield the smallest question that shows it, as items of a list."""
    operands = "; ".join(f"{name} = {seen[name]}" for name in ("P", "Q") if name in seen)
    yield f"- For example {operands}, case {seen['case']}, {seen['version']} in {seen['dtype']} on {seen['device']}:"
    if seen["right"]:
        yield f"  `{seen['call']}` gave {seen['got']}; right is {seen['right']}."
    else:
        yield f"  {seen['note'] or seen['call']}."
