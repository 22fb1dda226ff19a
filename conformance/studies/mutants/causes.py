"""Derives ``causes.json`` for `verify` from the kill matrix, and measures how often its explanation is correct.

``python conformance/studies/mutants/study.py -o matrix.json`` writes the matrix, and
``python conformance/studies/mutants/causes.py matrix.json`` writes ``kl_conformance/diagnosis/causes.json``.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kl_conformance.diagnosis import causes
from kl_conformance.diagnosis.causes import Fault, clear, matches

DTYPE = "float32"  # tested first and completely; other dtypes only where this one detects nothing
CAUSES = Path(causes.__file__).with_suffix(".json")


def detected_faults(matrix: Mapping[str, Any]) -> list[Fault]:
    """Return the mutants that a matrix detects, with the requirements that detect them in one dtype."""
    return list(_faults(matrix))


def _faults(matrix: Mapping[str, Any]) -> Iterator[Fault]:
    for kernel in matrix["kernels"]:
        dtypes = {name: str(each["dtype"]) for name, each in kernel["detected_by"].items()}
        first = DTYPE if DTYPE in dtypes.values() else next(iter(dtypes.values()), "")
        requirements = frozenset(name for name, dtype in dtypes.items() if dtype == first)
        if kernel["kind"] is not None and requirements:
            yield Fault(kernel["name"], kernel["kind"], kernel["sentence"], requirements)


def leave_one_out(faults: Sequence[Fault]) -> tuple[int, int]:
    """Leave out each fault in turn: return how many are explained by another, and how many of these by their kind."""
    tested = frozenset().union(*(fault.detected_by for fault in faults))
    named, correct = 0, 0
    for fault in faults:
        others = [each for each in faults if each is not fault]
        fitting = clear(matches(fault.detected_by, tested, others))
        named += bool(fitting)
        correct += bool(fitting) and fitting[0].fault.kind == fault.kind
    return named, correct


def main(arguments: Sequence[str]) -> None:
    """Write the causes of a matrix and print how often they explain a fault."""
    (source,) = map(Path, arguments)
    matrix = json.loads(source.read_text(encoding="utf-8"))
    faults = detected_faults(matrix)
    entries = [asdict(each) | {"detected_by": sorted(each.detected_by)} for each in faults]
    text = json.dumps({"matrix": matrix["command"], "faults": entries}, indent=1, ensure_ascii=False)
    CAUSES.write_text(f"{text}\n", encoding="utf-8")
    named, correct = leave_one_out(faults)
    print(f"{len(faults)} faults; left out in turn, {named} are explained by another, {correct} of them by their kind")


if __name__ == "__main__":
    main(sys.argv[1:])
