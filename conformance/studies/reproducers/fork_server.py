"""Executes scripts one after another, each in a forked child with the libraries imported and not yet called.

Started by ``study.py`` with the path of a JSON file: ``modules``, ``scripts``, ``seconds``. Prints an exit code for
each script: 0 for success, 10 for a failed assertion, any other for another end.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

ASSERTED, OTHER = 10, 11


def ended(script: str, seconds: int) -> int:
    """Return the exit code of a child that executes a script; negative if a signal ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(seconds)
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(devnull, stream)
    code = 0
    try:
        exec(compile(script, "reproducer.py", "exec"), {"__name__": "__main__"})
    except AssertionError:
        code = ASSERTED
    except BaseException:  # a child must never return into its parent's code
        code = OTHER
    os._exit(code)


def main() -> None:
    """Read the request and print one exit code per script."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name in request["modules"]:
        importlib.import_module(name)
    for script in request["scripts"]:
        print(ended(script, request["seconds"]), flush=True)


if __name__ == "__main__":
    main()
