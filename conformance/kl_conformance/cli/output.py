"""How a verb ends: its exit code, and the one message of a verb that cannot do its job."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.cells import cell_len

FINE, FINDINGS, CANNOT = 0, 1, 2  # exit codes of every verb but `run`, which passes pytest's through


def cannot(verb: str, why: object) -> int:
    """Say on standard error why a verb cannot do its job, and return the exit code for that."""
    print(f"kl-conformance {verb}: {why}", file=sys.stderr)
    return CANNOT


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows as aligned columns, the last one as long as it likes."""
    rows = list(rows)
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join(
            [*(cell + " " * (w - cell_len(cell)) for cell, w in zip(row, widths, strict=False)), row[-1]]
        )
        for row in rows
    )
