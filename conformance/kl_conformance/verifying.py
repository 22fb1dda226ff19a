"""`verify`: a kernel asked in a process of its own, and its verdict on one screen."""

from __future__ import annotations

from pathlib import Path

from kl_conformance.running import Request, run
from kl_conformance.showing import write_report
from kl_conformance.worker import BROKEN, OK
from kl_reports.exchange import read
from kl_reports.screen import broken, screen

CONFORMS, FINDINGS, CANNOT = 0, 1, 2


def verify(request: Request, page: Path | None) -> int:
    """Ask the kernel, print its verdict and write its page; 0, 1 where something is broken, 2 if it cannot be asked."""
    code = run(request, screen)
    if code not in {OK, BROKEN}:
        return CANNOT
    found = read(request.output)
    if page is not None and (wrong := write_report(found, page)):
        return wrong
    return FINDINGS if broken(found) else CONFORMS
