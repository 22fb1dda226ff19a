"""Temporary PostgreSQL server: its data and its only socket are in a temporary folder."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

PATIENCE = 60.0  # seconds until the server must accept connections
# Debian installs the programs of the server outside PATH.
_FOLDERS = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), os.environ["PATH"]]
INITDB = shutil.which("initdb", path=os.pathsep.join(_FOLDERS))


def unavailable() -> str:
    """Return the reason that no server can be started on this machine, or an empty string."""
    if INITDB is None:
        return "PostgreSQL is not installed"
    return "" if find_spec("psycopg") else "psycopg is not installed"


class Server:
    """A running server that creates empty databases."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = count(1)

    def address(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql+psycopg://kl@/{name}?host={self._socket}"

    def database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"kl_{next(self._numbers)}"
        engine = create_engine(self.address("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.address(name)

    def wait(self) -> None:
        """Wait until the server accepts connections."""
        end = time.monotonic() + PATIENCE
        engine = create_engine(self.address("postgres"))
        while True:
            try:
                engine.connect().close()
            except OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                engine.dispose()
                return


@contextmanager
def server() -> Generator[Server]:
    """Start a server as an unprivileged user, and stop it at the end of the block."""
    assert INITDB is not None
    folder = Path(tempfile.mkdtemp(prefix="kl-postgres-"))
    data = folder / "data"
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = _unprivileged()
        shutil.chown(folder, other.pw_uid, other.pw_gid)
        user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
    try:
        made = [INITDB, "-D", str(data), "-U", "kl", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
        options = ["-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(Path(INITDB).with_name("postgres")), "-D", str(data), *options],
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **user,
            )
        try:
            ours = Server(folder)
            ours.wait()
            yield ours
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown: closes open connections
            process.wait()
    finally:
        shutil.rmtree(folder)
        Path(f"{folder}.log").unlink(missing_ok=True)


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
