"""`report` and `merge`: run files read, joined and shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kl_conformance.ending import cannot
from kl_conformance.guide import guide
from kl_conformance.output import check_writable
from kl_conformance.proving import scripted
from kl_reports.badge import badges
from kl_reports.digest import digest
from kl_reports.exchange import RunFileError, put, read, write
from kl_reports.junit import junit
from kl_reports.line import encode_line, encode_run
from kl_reports.merge import apart
from kl_reports.merge import merge as join
from kl_reports.page import write_page
from kl_reports.result import Run
from kl_reports.summary import exit_code, summary
from kl_reports.workflow import workflow


@dataclass(frozen=True, slots=True)
class Beside:
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
            yield self.markdown, digest(run)
        if self.junit is not None:
            yield self.junit, junit(run)
        if self.jsonl is not None:
            yield self.jsonl, "".join(encode_line(data).decode() for data in encode_run(run))
        if self.badges is not None:
            yield from ((self.badges / name, text) for name, text in badges(run))


def report(files: Sequence[Path], output: Path, beside: Beside | None = None, form: str = "text") -> int:
    """Write one page of one or more run files and what is asked for beside it, print the summary and the page's path.

    ``form`` is ``"text"`` or ``"github"``. Returns 0 when everything is as recorded, 1 when something new is broken,
    2 when a file cannot be used.
    """
    beside = beside or Beside()
    try:
        check_writable(output)
        beside.check()
        run = guided(scripted(join(apart(read_all(files)))))
        for path, text in beside.texts(run):
            put(path, text)
    except RunFileError as error:
        return cannot("report", error)
    print(workflow(run) if form == "github" else summary(run), end="" if form == "github" else "\n")
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


def merge(files: Sequence[Path], output: Path) -> int:
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


def read_all(places: Sequence[Path]) -> list[Run]:
    """Read run files, and every run file of a folder."""
    return [read(file) for file in run_files(places)]


def run_files(places: Sequence[Path]) -> list[Path]:
    """Return run files, with those of every folder named.

    Raises
    ------
    RunFileError
        A folder has none.
    """
    files: list[Path] = []
    for place in places:
        found = sorted(place.glob("*.jsonl.gz")) if place.is_dir() else [place]
        if not found:
            raise RunFileError(place, "a folder without run files (*.jsonl.gz)")
        files += found
    return files
