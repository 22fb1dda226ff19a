"""Exit codes, error message and table output shared by commands."""

import sys
from collections.abc import Iterable

from rich.cells import cell_len

FINE, FINDINGS, CANNOT = 0, 1, 2  # exit codes of every command but `run`, which has pytest's


def cannot(command: str, reason: object) -> int:
    """Print on stderr why a command could not do its work; return the exit code for it."""
    print(f"kl-conformance {command}: {reason}", file=sys.stderr)
    return CANNOT


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows as aligned columns; the last column is not padded."""
    rows = list(rows)
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell + " " * (w - cell_len(cell)) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )
