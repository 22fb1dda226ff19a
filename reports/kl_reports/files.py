"""Writing files: atomic replacement, writability check before work starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class RunFileError(Exception):
    """A run file or page that cannot be read or written, with its path and one reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def put(path: Path, text: str) -> None:
    """Write a text at once, in UTF-8; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        When the file cannot be written.
    """
    with replacing(path) as temporary:
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise RunFileError(path, f"cannot be written: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a temporary path beside ``path``, and move it there when the block ends well.

    Raises
    ------
    RunFileError
        When the folder cannot be written to.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise RunFileError(path, f"cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except RunFileError as error:
        raise RunFileError(path, error.reason) from error
    except OSError as error:
        raise RunFileError(path, f"cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
