"""Whether a file can be written, found out before any work is done for it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kl_reports.exchange import RunFileError


def check_writable(path: Path) -> None:
    """Refuse a path that could not be written later; what is there now stays as it is.

    Raises
    ------
    RunFileError
        The path is a folder or a device, or its folder is not there or cannot be written to.
    """
    if path.is_dir():
        raise RunFileError(path, "cannot be written: it is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise RunFileError(path, "cannot be written: it is no ordinary file")
    if not path.parent.is_dir():
        what = "is not a folder" if path.parent.exists() else "does not exist; make that folder first"
        raise RunFileError(path, f"cannot be written: {path.parent} {what}")
    if path.exists() and not os.access(path, os.W_OK):
        raise RunFileError(path, "cannot be written: it is write-protected")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RunFileError(path, f"cannot be written: {error.strerror}") from None
