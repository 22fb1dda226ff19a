"""`doctor`: what can be asked on this machine, each framework looked at in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from kl_conformance import __version__, host, registry
from kl_conformance.session import load
from kl_conformance.telling import table
from kl_reference.machine import require_ieee

SECONDS = 120


def examine() -> tuple[str, bool]:
    """Return the findings as text, and whether the reference can be trusted here."""
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    lines = [f"kl-conformance {__version__}, {system}"]
    try:
        require_ieee()
        well = True
        lines.append("floating point: rounds to nearest, keeps subnormals; the reference can be trusted")
    except FloatingPointError as error:
        well = False
        lines.append(f"floating point: {error}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = [row for found in pool.map(_asked, registry.asked_frameworks()) for row in found]
    return "\n".join([*lines, "", table(rows), "", "Next: kl-conformance run"]), well


def devices(name: str) -> list[tuple[str, str, str]]:
    """Return for each device of a framework whether it can be asked; imports the framework."""
    framework = registry.framework(name)
    modules = load(name)
    if isinstance(modules, str):
        return [(name, "-", modules)]
    packages = dict.fromkeys(i.package for i in registry.IMPLEMENTATIONS.values() if i.framework == name)
    versions = ", ".join(f"{each} {registry.installed_version(each)}" for each in packages)
    return [
        (name, device, framework.absent(modules, device) or f"can be asked ({versions})")
        for device in framework.devices
    ]


def _asked(name: str) -> list[tuple[str, ...]]:
    """Look at a framework in a child process: frameworks never share one."""
    command = [sys.executable, "-P", "-m", "kl_conformance.doctor", name]
    try:
        done = subprocess.run(
            command,
            env=host.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [(name, "-", f"gave no answer within {SECONDS} s")]
    try:
        return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]
    except (ValueError, IndexError):
        return [(name, "-", f"cannot be asked: the process that imports it {host.ending(done.returncode)}")]


if __name__ == "__main__":
    print(json.dumps(devices(sys.argv[1])))
