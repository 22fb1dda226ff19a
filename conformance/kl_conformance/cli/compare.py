"""`compare`: compares two runs."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from kl_conformance.cli.options import PATH, names, output_format, path_option, store
from kl_conformance.cli.output import cannot
from kl_conformance.diagnosis.confirmation import with_reproducers
from kl_conformance.errors import UnknownNameError, check_known
from kl_conformance.versions.recheck import recheck
from kl_reports.comparison.change import Bucket
from kl_reports.comparison.compare import Comparison, IncomparableError, exit_code
from kl_reports.comparison.compare import compare as compare_runs
from kl_reports.files import RunFileError, check_writable, write_text
from kl_reports.formats import comparison_github, comparison_json, comparison_markdown, comparison_text
from kl_reports.page.comparison_page import write_comparison_page
from kl_reports.runfile.file import read_all
from kl_reports.runfile.merge import merge
from kl_reports.runfile.records import Column, Run
from kl_reports.store.database import StoreError
from kl_reports.store.store import Store, is_id
from kl_reports.versions import parse_requirement, same_package

FAIL_ON = (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, Bucket.MISSING)


@click.command()
@click.argument("old")
@click.argument("new")
@names("--fail-on", "fail_on", "Buckets for exit code 1, or none. [default: regressed,newly-observed,missing]")
@click.option(
    "--replay",
    "replayed",
    is_flag=True,
    help="Rerun each changed cell on both versions; installs missing versions in new environments.",
)
@click.option("-o", "--output", "page", type=PATH, help="Also write an HTML page of the comparison.")
@path_option("--markdown", "Also write a summary for a CI job.")
@store
@output_format("text", "json", "markdown", "github", help_text="Format of the printed comparison.")
def compare(
    old: str,
    new: str,
    fail_on: tuple[str, ...],
    replayed: bool,
    page: Path | None,
    markdown: Path | None,
    store: str,
    output_format: str,
) -> int:
    """Compare two runs: what regressed, what was fixed, and what moved within tolerance.

    OLD and NEW are run files, folders of them, or runs of the store by id or by version, as in torch==2.12. Only
    cells that evaluated the same problems are compared. Exit codes: 0 no cell in a --fail-on bucket, 1 at least
    one, 2 the runs cannot be compared.
    """
    try:
        buckets = _buckets(fail_on)
        for path in (markdown, page):
            if path is not None:
                check_writable(path)
        before, after = _run(old, store), _run(new, store)
        if page is not None:
            before, after = with_reproducers(before), with_reproducers(after)
        comparison = compare_runs(before, after)
        if replayed:
            comparison = recheck(comparison, lambda message: print(message, file=sys.stderr))
        if markdown is not None:
            write_text(markdown, comparison_markdown.markdown(comparison))
        if page is not None:
            write_comparison_page(comparison, page)
            print(f"Page: {page}", file=sys.stderr)
    except (IncomparableError, RunFileError, StoreError, UnknownNameError) as error:
        return cannot("compare", error)
    print(_formatted(comparison, output_format, buckets), end="")
    return exit_code(comparison, buckets)


def _buckets(names: Sequence[str]) -> tuple[Bucket, ...]:
    check_known("bucket", names, ["none", *(bucket.value for bucket in Bucket)])
    return tuple(Bucket(name) for name in names if name != "none") if names else FAIL_ON


def _run(name: str, store: str) -> Run:
    """Return a run by file or folder, or the newest run of the store by id or version."""
    path = Path(name)
    if path.exists() or path.suffix == ".gz" or not store:
        return merge(read_all([path]))
    with Store(store) as opened:
        run = opened.run(opened.find_runs(name)[0].id)
    return run if is_id(name) else _of_package(run, parse_requirement(name).name)


def _of_package(run: Run, package: str) -> Run:
    header = run.header

    def belongs(column: Column) -> bool:
        packages = column.framework, header.implementations.get(column.implementation, {}).get("package", "")
        return any(same_package(name, package) for name in packages)

    columns = {key: column for key, column in header.columns.items() if belongs(column)}
    results = tuple(result for result in run.results if result.column in columns)
    return replace(run, header=replace(header, columns=columns), results=results)


def _formatted(comparison: Comparison, output_format: str, fail_on: Sequence[Bucket]) -> str:
    match output_format:
        case "json":
            return f"{comparison_json.as_json(comparison)}\n"
        case "markdown":
            return comparison_markdown.markdown(comparison)
        case "github":
            return comparison_github.commands(comparison, fail_on)
        case _:
            return comparison_text.text(comparison)
