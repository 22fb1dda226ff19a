"""`report` and `merge`: run files read, joined and shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from kl_conformance.cli.output import cannot
from kl_conformance.diagnosis.confirmation import with_reproducers
from kl_conformance.requirements.guide import guide
from kl_reports.files import RunFileError, check_writable, write_text
from kl_reports.formats.badge import badges
from kl_reports.formats.github import github
from kl_reports.formats.junit import junit
from kl_reports.formats.markdown import markdown
from kl_reports.formats.summary import exit_code, summary
from kl_reports.page.page import write_page
from kl_reports.runfile.file import read_all, write
from kl_reports.runfile.lines import encode_line, encode_run
from kl_reports.runfile.merge import merge as join
from kl_reports.runfile.merge import separate_machines
from kl_reports.runfile.records import Run


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What is written beside the page, where a path is given: ``badges`` is a folder, the others are files."""

    markdown: Path | None = None
    junit: Path | None = None
    jsonl: Path | None = None
    badges: Path | None = None

    def check(self) -> None:
        """Refuse what could not be written.

        Raises
        ------
        RunFileError
            One of the files cannot be written, or ``badges`` is no folder and cannot become one.
        """
        for path in (self.markdown, self.junit, self.jsonl):
            if path is not None:
                check_writable(path)
        if self.badges is not None:
            try:
                self.badges.mkdir(exist_ok=True)
            except OSError as error:
                raise RunFileError(self.badges, f"no folder can be made: {error.strerror}") from None

    def texts(self, run: Run) -> Iterator[tuple[Path, str]]:
        """Give every file and what goes into it."""
        if self.markdown is not None:
            yield self.markdown, markdown(run)
        if self.junit is not None:
            yield self.junit, junit(run)
        if self.jsonl is not None:
            yield self.jsonl, "".join(encode_line(data).decode() for data in encode_run(run))
        if self.badges is not None:
            yield from ((self.badges / name, text) for name, text in badges(run))


def render(
    files: Sequence[Path], output: Path, beside: ReportOptions | None = None, form: str = "text"
) -> int:
    """Write one page of one or more run files and what is asked for beside it, print the summary and the page's path.

    ``form`` is ``"text"`` or ``"github"``. Returns 0 when everything is as recorded, 1 when something new is broken,
    2 when a file cannot be used.
    """
    beside = beside or ReportOptions()
    try:
        check_writable(output)
        beside.check()
        run = guided(with_reproducers(join(separate_machines(read_all(files)))))
        for path, text in beside.texts(run):
            write_text(path, text)
    except RunFileError as error:
        return cannot("report", error)
    print(github(run) if form == "github" else summary(run), end="" if form == "github" else "\n")
    return write_report(run, output) or exit_code(run)


def guided(run: Run) -> Run:
    """Return a run whose header has the guide of today, where it was written before there was one."""
    return run if run.header.guide else replace(run, header=replace(run.header, guide=guide()))


def write_report(run: Run, output: Path) -> int:
    """Write the page of a run and print its path; 0, or 2 when it cannot be written."""
    try:
        check_writable(output)
        write_page(run, output)
    except RunFileError as error:
        return cannot("report", error)
    print(f"Page: {output.resolve()}")
    return 0


def merge_files(files: Sequence[Path], output: Path) -> int:
    """Join run files cell by cell into one; 0, or 2 when a file cannot be used."""
    try:
        check_writable(output)
        run = join(read_all(files))
        write(output, run)
    except RunFileError as error:
        return cannot("merge", error)
    print(f"{len(run.results)} cells in {output}")
    print(f"Next: kl-conformance report {shlex.quote(str(output))} -o kl-conformance.html")
    return 0


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("kl-conformance.html"),
    show_default=True,
    help="The page.",
)
@click.option("--markdown", type=click.Path(path_type=Path), help="A summary for a CI job, as well.")
@click.option("--junit", type=click.Path(path_type=Path), help="JUnit XML, as well.")
@click.option("--jsonl", type=click.Path(path_type=Path), help="The runs merged, as JSON Lines, as well.")
@click.option(
    "--badges", type=click.Path(path_type=Path), help="A folder for a badge of each implementation."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "github")),
    default="text",
    show_default=True,
    help="What is printed: a summary, or workflow commands of GitHub.",
)
def report(
    runs: tuple[Path, ...],
    output: Path,
    markdown: Path | None,
    junit: Path | None,
    jsonl: Path | None,
    badges: Path | None,
    form: str,
) -> None:
    """Show one or more run files as one HTML page, with a summary here; exit 1 when something new is broken."""
    sys.exit(render(runs, output, ReportOptions(markdown, junit, jsonl, badges), form))


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The merged run file.")
def merge(runs: tuple[Path, ...], output: Path) -> None:
    """Merge run files cell by cell."""
    sys.exit(merge_files(runs, output))
