"""Atomic writing of files, and the check that a path can be written to."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class RunFileError(Exception):
    """A run file or report cannot be read or written; the message has the path and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        The file cannot be written.
    """
    with atomic_replacement(path) as temporary:
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise RunFileError(path, f"cannot be written: {error.strerror}") from error


@contextmanager
def atomic_replacement(path: Path) -> Generator[Path]:
    """Yield a temporary path beside ``path`` and rename it to ``path`` if the block succeeds.

    Raises
    ------
    RunFileError
        The folder cannot be written to.
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
    """Raise if a path cannot be written to; an existing file is not changed.

    Raises
    ------
    RunFileError
        The path is a folder or a device, or its folder does not exist or cannot be written to.
    """
    if path.is_dir():
        raise RunFileError(path, "cannot be written: it is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise RunFileError(path, "cannot be written: it is not a regular file")
    if not path.parent.is_dir():
        reason = "is not a folder" if path.parent.exists() else "does not exist; create that folder first"
        raise RunFileError(path, f"cannot be written: {path.parent} {reason}")
    if path.exists() and not os.access(path, os.W_OK):
        raise RunFileError(path, "cannot be written: it is write-protected")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RunFileError(path, f"cannot be written: {error.strerror}") from None
