"""`report` and `merge`: renders run files, merges them."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from kl_conformance.cli.options import output, output_format, path_option, runs
from kl_conformance.cli.output import FINE, cannot
from kl_conformance.diagnosis.confirmation import with_reproducers
from kl_conformance.requirements.guide import guide
from kl_reports.files import RunFileError, check_writable, write_text
from kl_reports.formats import badge, github, junit, markdown, summary
from kl_reports.page.page import write_page
from kl_reports.runfile import merge as merging
from kl_reports.runfile.file import read_all, write
from kl_reports.runfile.lines import encode_line, encode_run
from kl_reports.runfile.records import Run


@click.command()
@runs
@output("kl-conformance.html", "The page.")
@path_option("--markdown", "Also write a summary for a CI job.")
@path_option("--junit", "Also write JUnit XML.")
@path_option("--jsonl", "Also write the merged run as JSON Lines.")
@path_option("--badges", "Also write a badge for each implementation, to this folder.")
@output_format("text", "github", help_text="What is printed: a summary, or GitHub workflow commands.")
def report(runs: tuple[Path, ...], output: Path, output_format: str, **further: Path | None) -> int:
    """Render run files, or folders of them, as one HTML page and print a summary.

    Exit codes: 0 as recorded, 1 new failures, 2 a file could not be read or written.
    """
    outputs = {name: path for name, path in further.items() if path is not None}
    try:
        check_writable(output)
        _check(outputs)
        run = guided(with_reproducers(merging.merge(merging.separate_machines(read_all(runs)))))
        for name, path in outputs.items():
            for file, text in _texts(run, name, path):
                write_text(file, text)
    except RunFileError as error:
        return cannot("report", error)
    github_form = output_format == "github"
    print(github.github(run) if github_form else summary.summary(run), end="" if github_form else "\n")
    return write_report(run, output) or summary.exit_code(run)


def _check(outputs: dict[str, Path]) -> None:
    """Raise a RunFileError for a file that cannot be written or a folder that cannot be created."""
    for name, path in outputs.items():
        if name != "badges":
            check_writable(path)
            continue
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise RunFileError(path, f"the folder cannot be created: {error.strerror}") from None


def _texts(run: Run, name: str, path: Path) -> Iterator[tuple[Path, str]]:
    match name:
        case "markdown":
            yield path, markdown.markdown(run)
        case "junit":
            yield path, junit.junit(run)
        case "jsonl":
            yield path, "".join(encode_line(data).decode() for data in encode_run(run))
        case _:
            yield from ((path / file, text) for file, text in badge.badges(run))


def guided(run: Run) -> Run:
    """Return a run whose header has a FAQ: the current one if the run was written without."""
    return run if run.header.guide else replace(run, header=replace(run.header, guide=guide()))


def write_report(run: Run, page: Path) -> int:
    """Write the page of a run and print its path; return the exit code."""
    try:
        check_writable(page)
        write_page(run, page)
    except RunFileError as error:
        return cannot("report", error)
    print(f"Page: {page.resolve()}")
    return FINE


@click.command()
@runs
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The merged run file.")
def merge(runs: tuple[Path, ...], output: Path) -> int:
    """Merge run files cell by cell.

    Exit codes: 0 merged, 2 a file could not be read or written.
    """
    try:
        check_writable(output)
        run = merging.merge(read_all(runs))
        write(output, run)
    except RunFileError as error:
        return cannot("merge", error)
    print(f"{len(run.results)} cells in {output}")
    print(f"Next: kl-conformance report {shlex.quote(str(output))} -o kl-conformance.html")
    return FINE
