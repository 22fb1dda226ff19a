"""How a verb ends: its exit code, and the one message of a verb that cannot do its job."""

from __future__ import annotations

import sys

FINE, FINDINGS, CANNOT = 0, 1, 2  # exit codes of every verb but `run`, which passes pytest's through


def cannot(verb: str, why: object) -> int:
    """Say on standard error why a verb cannot do its job, and return the exit code for that."""
    print(f"kl-conformance {verb}: {why}", file=sys.stderr)
    return CANNOT
