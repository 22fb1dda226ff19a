"""Reads a run file while another process writes it."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kl_reports.runfile.codec import LineError
from kl_reports.runfile.lines import Lines, parse


class Follower:
    """Reads the new lines of a growing run file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._lines = Lines()

    def poll(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return kind and data of every line completed since the last call.

        A missing file, an incomplete line and a damaged line yield nothing.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        self._offset += len(data)
        found: list[tuple[str, Mapping[str, Any]]] = []
        for line in self._lines.feed(data):
            with suppress(LineError):
                entry = parse(line)
                found.append((str(entry.get("kind")), entry))
        return found
