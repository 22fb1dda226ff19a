"""Whether every reproducer of a run shows its failure, each executed in a process of its own.

Run ``python conformance/studies/reproducers/study.py RUN…`` where the frameworks of the runs are installed. A process a core
imports a framework and forks a child for each script, which is the first to call it. What does not show its failure
there is executed again by a fresh interpreter before it is named.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / house)
    for house in ("conformance", "cases", "reports", "reference")
)

from kl_conformance import host
from kl_conformance.execution import SECONDS, Seen, execute
from kl_conformance.proving import scripted
from kl_reports.exchange import RunFileError, read
from kl_reports.result import Run, Verdict

BROKEN = {Verdict.FAIL, Verdict.EXPECTED, Verdict.NONDETERMINISTIC}
FORKED = Path(__file__).with_name("fork_server.py")
SHOWN = "10"  # what fork_server.py says of a script whose assertion failed
IMPORT = re.compile(r"^import ([\w.]+)", re.MULTILINE)
CORES, MOST = os.cpu_count() or 1, 40  # scripts of a batch


@dataclass(frozen=True, slots=True)
class Shown:
    """One script, the cells it is the reproducer of, and what it came to; None where its framework is not here."""

    framework: str
    script: str
    cells: tuple[str, ...]
    seen: Seen | None = None

    @property
    def chapter(self) -> str:
        """The chapter of the requirement it shows broken."""
        return self.cells[0].partition("/")[0]


def scripts(runs: Iterable[Run]) -> tuple[list[Shown], Counter[str]]:
    """Return the scripts of runs, and how many broken cells of each framework have none."""
    found: dict[tuple[str, str], list[str]] = {}
    without: Counter[str] = Counter()
    for run in map(scripted, runs):
        for result in run.results:
            if result.verdict in BROKEN:
                framework = run.header.columns[result.column].framework
                script = str((result.witness or {}).get("reproducer", ""))
                if script:
                    found.setdefault((framework, script), []).append(result.cell)
                else:
                    without[framework] += 1
    return [Shown(*place, tuple(cells)) for place, cells in found.items()], without


def executed(found: Iterable[Shown]) -> Iterator[Shown]:
    """Give each script with what it came to."""
    batches: list[list[Shown]] = []
    for framework, members in groupby(sorted(found, key=_framework), key=_framework):
        if importlib.util.find_spec(framework) is None:
            yield from members
        else:
            own = list(members)
            size = max(1, min(MOST, -(-len(own) // CORES)))
            batches += [own[start : start + size] for start in range(0, len(own), size)]
    with ThreadPoolExecutor(max_workers=CORES) as pool:
        for done in as_completed([pool.submit(_batch, batch) for batch in batches]):
            yield from done.result()


def _framework(each: Shown) -> str:
    return each.framework


def _batch(batch: list[Shown]) -> list[Shown]:
    """Execute scripts of one framework in children of one process; those that fail to show it, once more alone."""
    modules = {name for each in batch for name in IMPORT.findall(each.script)}
    asked = {"modules": sorted(modules), "scripts": [each.script for each in batch], "seconds": SECONDS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asked.json"
        file.write_text(json.dumps(asked), encoding="utf-8")
        done = host.python(str(FORKED), str(file), seconds=SECONDS * (len(batch) + 1), folder=Path(folder))
    codes = dict(enumerate(done.stdout.split()))
    return [
        replace(each, seen=Seen.FAILURE if codes.get(place) == SHOWN else execute(each.script))
        for place, each in enumerate(batch)
    ]


def table(all_shown: Iterable[Shown], without: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each framework and chapter, and what did not show its failure."""
    counts: dict[tuple[str, str], Counter[Seen | None]] = {}
    for each in all_shown:
        counts.setdefault((each.framework, each.chapter), Counter())[each.seen] += 1
    yield "framework   chapter        scripts   shown  right alone  another end  not here"
    for (framework, chapter), seen in sorted(counts.items()):
        ends = (seen[Seen.FAILURE], seen[Seen.RIGHT], seen[Seen.NOTHING], seen[None])
        yield f"{framework:12}{chapter:14}{sum(ends):8}{ends[0]:8}{ends[1]:13}{ends[2]:13}{ends[3]:10}"
    for framework, number in sorted(without.items()):
        yield f"{framework}: {number} broken cells have no short script"


def main(paths: list[str]) -> int:
    """Execute the scripts of run files; 1 where one does not show its failure, 2 where a file cannot be read."""
    if not paths:
        print(
            "no run file was named; run: python conformance/studies/reproducers/study.py RUN…",
            file=sys.stderr,
        )
        return 2
    try:
        found, without = scripts(read(Path(path)) for path in paths)
    except RunFileError as error:
        print(error, file=sys.stderr)
        return 2
    done: list[Shown] = []
    for each in executed(found):
        done.append(each)
        if len(done) % MOST == 0 or len(done) == len(found):
            print(f"{len(done)} of {len(found)}", file=sys.stderr, flush=True)
    print("\n".join(table(done, without)))
    wrong = [each for each in done if each.seen in {Seen.RIGHT, Seen.NOTHING}]
    for each in wrong:
        print(f"\n{', '.join(each.cells)}: {each.seen.value if each.seen else ''}\n{each.script}")
    cells = sum(len(each.cells) for each in done if each.seen is Seen.FAILURE)
    shown = sum(each.seen is Seen.FAILURE for each in done)
    print(f"\n{shown} of {len(done)} scripts showed the failure of {cells} cells; {len(wrong)} did not.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
