"""`verify`: a kernel asked in a process of its own, and its verdict in the form somebody reads."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

from kl_conformance.causes import likely_cause
from kl_conformance.ending import CANNOT, FINDINGS, FINE, cannot
from kl_conformance.proving import proven
from kl_conformance.running import Request, run
from kl_conformance.showing import write_report
from kl_conformance.worker import BROKEN, OK
from kl_reports.exchange import RunFileError, read, write
from kl_reports.junit import junit
from kl_reports.result import Run
from kl_reports.screen import broken, judged, screen
from kl_reports.verdict import verdict
from kl_reports.workflow import workflow


def verify(request: Request, page: Path | None, form: str = "text") -> int:
    """Ask the kernel, print its verdict and write its page.

    Parameters
    ----------
    request
        Whom to ask what.
    page
        Where the page goes; None for no page.
    form
        ``"text"``, ``"json"``, ``"github"`` or ``"junit"``; standard output gets nothing else.

    Returns
    -------
    int
        0 where it conforms, 1 where something is broken, 2 where it cannot be asked.
    """
    with redirect_stdout(sys.stderr):
        code = run(request, lambda found: "")
        if code not in {OK, BROKEN}:
            return CANNOT
        try:
            found = _proven(request)
        except RunFileError as error:
            return cannot("verify", error)
        wrong = 0 if page is None else write_report(found, page)
    print(told(found, form, _file(request)), end="")
    return wrong or (FINDINGS if broken(found) else FINE if judged(found) else CANNOT)


def told(found: Run, form: str, file: str) -> str:
    """Return a verdict in one of the forms; ``file`` is where the kernel lies, empty where that is unknown."""
    cause = likely_cause(found)
    match form:
        case "json":
            return verdict(found, cause) + "\n"
        case "github":
            return workflow(found, cause, file)
        case "junit":
            return junit(found, cause)
        case _:
            return screen(found, cause)


def _proven(request: Request) -> Run:
    """Return the run, its findings with scripts that show them, and keep those in the run file."""
    found = read(request.output)
    (name,) = request.implementations
    if broken(found):
        print("Asking again what was found, each in a process of its own …")
    found = proven(found, name)
    write(request.output, found)
    return found


def _file(request: Request) -> str:
    (name,) = request.implementations
    place = name.rpartition(":")[0]
    return place if place.endswith(".py") else ""
