"""Proves that every mutant of a framework is wrong, each in a child process of its own.

``python -m studies.mutants.validation torch`` prints the returned and the correct value of each, as JSON.
"""

import importlib
import json
import math
import sys

from kl_conformance.implementations import loading
from kl_conformance.processes import NoAnswerError
from studies.mutants.catalogue import mutants
from studies.mutants.kernel import Proof
from studies.mutants.runner import call_in_child

CLEAR = 1e-9  # relative difference: no proof depends on a rounding error


def validate(framework: str) -> dict[str, Proof]:
    """Return the proof of every mutant of a framework, by name.

    Raises
    ------
    RuntimeError
        A process ended without a proof; the message names the kernel.
    """
    if framework != "scipy":  # imported once, and not called before the children are forked
        importlib.import_module(framework)
    proofs: dict[str, Proof] = {}
    for name, kernel in mutants().items():
        if loading.implementation(kernel.like).framework != framework:
            continue
        try:
            proofs[name] = call_in_child(_prove, name)
        except NoAnswerError as error:
            raise RuntimeError(f"{name} was not proven: {error}") from None
    return proofs


def _prove(name: str) -> Proof:
    kernel = mutants()[name]
    return kernel.prove(kernel.make())


def differs(proof: Proof) -> bool:
    """Whether the returned value clearly differs from the correct one."""
    got, expected = proof.got, proof.expected
    if isinstance(got, str) or isinstance(expected, str):
        return got != expected
    if math.isfinite(got) and math.isfinite(expected):
        return abs(got - expected) > CLEAR * abs(expected)
    return got != expected and not (math.isnan(got) and math.isnan(expected))


if __name__ == "__main__":
    found = {name: [proof.got, proof.expected] for name, proof in validate(sys.argv[1]).items()}
    print(json.dumps(found))
