"""`compare`: two runs held against each other, and what changed said in the order that matters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from kl_conformance.cli.options import several, store
from kl_conformance.cli.output import cannot
from kl_conformance.diagnosis.confirmation import with_reproducers
from kl_conformance.errors import UnknownNameError, check_known
from kl_conformance.versions.recheck import recheck
from kl_reports.comparison.change import Bucket
from kl_reports.comparison.compare import Comparison, IncomparableError, exit_code
from kl_reports.comparison.compare import compare as compare_runs
from kl_reports.files import RunFileError, check_writable, put
from kl_reports.formats.comparison_github import commands
from kl_reports.formats.comparison_json import as_json
from kl_reports.formats.comparison_markdown import markdown
from kl_reports.formats.comparison_text import text
from kl_reports.page.comparison_page import write_comparison_page
from kl_reports.runfile.file import read_all
from kl_reports.runfile.merge import merge
from kl_reports.runfile.records import Column, Run
from kl_reports.store.database import StoreError
from kl_reports.store.store import Store, is_id
from kl_reports.versions import asked as asked_for
from kl_reports.versions import same

FAIL_ON = (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, Bucket.MISSING)


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What was asked on the command line."""

    old: str
    new: str
    fail_on: tuple[str, ...] = ()
    form: str = "text"
    markdown: Path | None = None
    again: bool = False
    page: Path | None = None
    store: str = ""


def execute(asked: CompareOptions) -> int:
    """Compare, print, and return 1 where a cell is in a bucket that fails, 2 where there is nothing to compare."""
    try:
        fail_on = _buckets(asked.fail_on)
        for path in (asked.markdown, asked.page):
            if path is not None:
                check_writable(path)
        old, new = _run(asked.old, asked.store), _run(asked.new, asked.store)
        comparison = (
            compare_runs(old, new)
            if asked.page is None
            else compare_runs(with_reproducers(old), with_reproducers(new))
        )
        if asked.again:
            comparison = recheck(comparison, lambda words: print(words, file=sys.stderr))
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


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--fail-on",
    multiple=True,
    callback=several,
    help="Buckets that end in exit code 1, or none; regressed,newly-observed,missing if not said.",
)
@click.option(
    "--replay",
    "again",
    is_flag=True,
    help="Ask each changed cell again on both versions, in fresh environments where they are not installed.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="An HTML page of the comparison.")
@click.option("--markdown", type=click.Path(path_type=Path), help="A summary for a CI job, as well.")
@store
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "markdown", "github")),
    default="text",
    show_default=True,
    help="How the comparison is printed.",
)
def compare(
    old: str,
    new: str,
    fail_on: tuple[str, ...],
    again: bool,
    output: Path | None,
    markdown: Path | None,
    place: str,
    form: str,
) -> None:
    """Compare two runs: what regressed, what is fixed, and what moved inside what is allowed.

    OLD and NEW are run files, folders of them, or runs of the store by their ids or by a version, as in
    torch==2.12. Only cells that asked the same problems are compared. Exit codes: 0 nothing in a bucket that fails,
    1 something is, 2 the two cannot be compared.
    """
    sys.exit(execute(CompareOptions(old, new, fail_on, form, markdown, again, output, place)))
