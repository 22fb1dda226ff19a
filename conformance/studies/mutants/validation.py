"""Every wrong kernel of a framework proven wrong, each in a process of its own.

``python -m studies.mutants.validation torch`` prints what each gave and what is right, as JSON.
"""

from __future__ import annotations

import importlib
import json
import math
import multiprocessing
import sys
from multiprocessing.connection import Connection
from typing import Any

from kl_conformance import registry
from studies.mutants import catalogue as mutants
from studies.mutants.kernel import Proof

CLEAR = 1e-9  # relatively: no proof hangs on a rounding error of the dtype it is about


def proven(framework: str) -> dict[str, Proof]:
    """Return the proof against every wrong kernel of a framework, by name.

    Raises
    ------
    RuntimeError
        A process ended without a proof; the message names the kernel.
    """
    if framework != "scipy":  # loaded once, and not used before each process is forked
        importlib.import_module(framework)
    context = multiprocessing.get_context("fork")
    proofs: dict[str, Proof] = {}
    for name, kernel in mutants.wrong().items():
        if registry.implementation(kernel.like).framework != framework:
            continue
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_prove, args=(name, sender))
        process.start()
        sender.close()
        try:
            proofs[name] = receiver.recv()
        except EOFError:
            raise RuntimeError(f"{name} was not proven: the process ended") from None
        process.join()
    return proofs


def _prove(name: str, sender: Connection[Any, Any]) -> None:
    kernel = mutants.wrong()[name]
    sender.send(kernel.prove(kernel.make()))


def differs(proof: Proof) -> bool:
    """Whether what a kernel gave is plainly not what is right."""
    got, right = proof.got, proof.right
    if isinstance(got, str) or isinstance(right, str):
        return got != right
    if math.isfinite(got) and math.isfinite(right):
        return abs(got - right) > CLEAR * abs(right)
    return got != right and not (math.isnan(got) and math.isnan(right))


if __name__ == "__main__":
    found = {name: [proof.got, proof.right] for name, proof in proven(sys.argv[1]).items()}
    print(json.dumps(found))
