"""`report` and `merge`: run files read, joined and shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from kl_conformance.output import check_writable
from kl_conformance.proving import scripted
from kl_reports.exchange import RunFileError, read, write
from kl_reports.merge import merge as join
from kl_reports.page import write_page
from kl_reports.result import Run
from kl_reports.summary import exit_code, summary

CANNOT = 2


def report(files: Sequence[Path], output: Path) -> int:
    """Write one page of one or more run files, print the summary and the page's path.

    Returns 0 when everything is as recorded, 1 when something new is broken, 2 when a file cannot be used.
    """
    try:
        check_writable(output)
        run = scripted(_read(files))
    except RunFileError as error:
        return _cannot("report", error)
    print(summary(run))
    return write_report(run, output) or exit_code(run)


def write_report(run: Run, output: Path) -> int:
    """Write the page of a run and print its path; 0, or 2 when it cannot be written."""
    try:
        check_writable(output)
        write_page(run, output)
    except RunFileError as error:
        return _cannot("report", error)
    print(f"Page: {output.resolve()}")
    return 0


def merge(files: Sequence[Path], output: Path) -> int:
    """Join run files cell by cell into one; 0, or 2 when a file cannot be used."""
    try:
        check_writable(output)
        run = _read(files)
        write(output, run)
    except RunFileError as error:
        return _cannot("merge", error)
    print(f"{len(run.results)} cells in {output}")
    print(f"Next: kl-conformance report {shlex.quote(str(output))} -o kl-conformance.html")
    return 0


def _read(places: Sequence[Path]) -> Run:
    """Read run files, and every run file of a folder, into one run."""
    files: list[Path] = []
    for place in places:
        found = sorted(place.glob("*.jsonl.gz")) if place.is_dir() else [place]
        if not found:
            raise RunFileError(place, "a folder without run files (*.jsonl.gz)")
        files += found
    return join([read(file) for file in files])


def _cannot(verb: str, error: RunFileError) -> int:
    print(f"kl-conformance {verb}: {error}", file=sys.stderr)
    return CANNOT
