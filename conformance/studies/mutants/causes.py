"""The kill matrix boiled down to what `verify` knows of causes, and how often it would be right.

``python conformance/studies/mutants/study.py -o matrix.json`` makes the matrix, and
``python conformance/studies/mutants/causes.py matrix.json`` writes ``kl_conformance/causes.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kl_conformance import causes
from kl_conformance.causes import Fault, clear, matches

DTYPE = "float32"  # asked first and in full; other formats only where this one stops nothing
CAUSES = Path(causes.__file__).with_suffix(".json")


def learned(matrix: Mapping[str, Any]) -> list[Fault]:
    """Return the wrong kernels that a matrix stops, with what stops them in one dtype."""
    return list(_learned(matrix))


def _learned(matrix: Mapping[str, Any]) -> Iterator[Fault]:
    for kernel in matrix["kernels"]:
        stops = {name: str(stop["dtype"]) for name, stop in kernel["stops"].items()}
        first = DTYPE if DTYPE in stops.values() else next(iter(stops.values()), "")
        own = frozenset(name for name, dtype in stops.items() if dtype == first)
        if kernel["kind"] is not None and own:
            yield Fault(kernel["name"], kernel["kind"], kernel["sentence"], own)


def measured(faults: Sequence[Fault]) -> tuple[int, int]:
    """Return how many faults, each left out in turn, are explained by another, and how many of those by their kind."""
    asked = frozenset().union(*(fault.stops for fault in faults))
    named, right = 0, 0
    for fault in faults:
        others = [each for each in faults if each is not fault]
        fitting = clear(matches(fault.stops, asked, others))
        named += bool(fitting)
        right += bool(fitting) and fitting[0].fault.kind == fault.kind
    return named, right


def main(arguments: Sequence[str]) -> None:
    """Write the causes of a matrix and print how well they do."""
    (source,) = map(Path, arguments)
    matrix = json.loads(source.read_text(encoding="utf-8"))
    faults = learned(matrix)
    told = [
        {"name": each.name, "kind": each.kind, "sentence": each.sentence, "stops": sorted(each.stops)}
        for each in faults
    ]
    text = json.dumps({"matrix": matrix["command"], "faults": told}, indent=1, ensure_ascii=False)
    CAUSES.write_text(f"{text}\n", encoding="utf-8")
    named, right = measured(faults)
    print(
        f"{len(faults)} faults; left out in turn, {named} are explained by another, {right} of them by their kind"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
