"""`compare`: two runs held against each other, and what changed said in the order that matters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kl_conformance.ending import cannot
from kl_conformance.errors import UnknownNameError, check_known
from kl_conformance.output import check_writable
from kl_conformance.proving import scripted
from kl_conformance.repeating import repeated
from kl_conformance.showing import read_all
from kl_reports.change import Bucket
from kl_reports.compare import Comparison, IncomparableError, compare
from kl_reports.comparison import as_json, commands, exit_code, markdown, text
from kl_reports.comparison_page import write_comparison_page
from kl_reports.exchange import RunFileError, put
from kl_reports.merge import merge
from kl_reports.opening import StoreError
from kl_reports.result import Column, Run
from kl_reports.store import Store, is_id
from kl_reports.version import asked as asked_for
from kl_reports.version import same

FAIL_ON = (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, Bucket.MISSING)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked on the command line."""

    old: str
    new: str
    fail_on: tuple[str, ...] = ()
    form: str = "text"
    markdown: Path | None = None
    again: bool = False
    page: Path | None = None
    store: str = ""


def start(asked: Asked) -> int:
    """Compare, print, and return 1 where a cell is in a bucket that fails, 2 where there is nothing to compare."""
    try:
        fail_on = _buckets(asked.fail_on)
        for path in (asked.markdown, asked.page):
            if path is not None:
                check_writable(path)
        old, new = _run(asked.old, asked.store), _run(asked.new, asked.store)
        comparison = compare(old, new) if asked.page is None else compare(scripted(old), scripted(new))
        if asked.again:
            comparison = repeated(comparison, lambda words: print(words, file=sys.stderr))
        if asked.markdown is not None:
            put(asked.markdown, markdown(comparison))
        if asked.page is not None:
            write_comparison_page(comparison, asked.page)
            print(f"Page: {asked.page}", file=sys.stderr)
    except (IncomparableError, RunFileError, StoreError, UnknownNameError) as error:
        return cannot("compare", error)
    print(_worded(comparison, asked.form, fail_on), end="")
    return exit_code(comparison, fail_on)


def _buckets(names: Sequence[str]) -> tuple[Bucket, ...]:
    check_known("bucket", names, ["none", *(bucket.value for bucket in Bucket)])
    return tuple(Bucket(name) for name in names if name != "none") if names else FAIL_ON


def _run(name: str, store: str) -> Run:
    """Return a run by its file, those of a folder as one, or the newest of the store that bears an id or version."""
    path = Path(name)
    if path.exists() or path.suffix == ".gz" or not store:
        return merge(read_all([path]))
    with Store(store) as opened:
        run = opened.run(opened.look(name)[0].id)
    return run if is_id(name) else _bearing(run, asked_for(name).name)


def _bearing(run: Run, package: str) -> Run:
    """Return what a run holds of one package."""
    header = run.header

    def own(column: Column) -> bool:
        names = column.framework, header.implementations.get(column.implementation, {}).get("package", "")
        return any(same(name, package) for name in names)

    columns = {key: column for key, column in header.columns.items() if own(column)}
    results = tuple(result for result in run.results if result.column in columns)
    return replace(run, header=replace(header, columns=columns), results=results)


def _worded(comparison: Comparison, form: str, fail_on: Sequence[Bucket]) -> str:
    match form:
        case "json":
            return f"{as_json(comparison)}\n"
        case "markdown":
            return markdown(comparison)
        case "github":
            return commands(comparison, fail_on)
        case _:
            return text(comparison)
