"""Executes scripts one after the other, each in a child that has the libraries imported and has called nothing.

Run by ``scripts.py`` with a file of JSON: ``modules``, ``scripts``, ``seconds``. Prints a line for each script: 0 it
ended well, 10 its assertion failed, anything else is another end.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

ASSERTED, OTHER = 10, 11


def ended(script: str, seconds: int) -> int:
    """Return the exit code of a child that executes a script, negative where a signal ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(seconds)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    code = 0
    try:
        exec(compile(script, "reproducer.py", "exec"), {"__name__": "__main__"})
    except AssertionError:
        code = ASSERTED
    except BaseException:  # a child must never return into its parent's code
        code = OTHER
    os._exit(code)


def main() -> None:
    """Read what is asked, and answer line by line."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name in asked["modules"]:
        importlib.import_module(name)
    for script in asked["scripts"]:
        print(ended(script, asked["seconds"]), flush=True)


if __name__ == "__main__":
    main()
