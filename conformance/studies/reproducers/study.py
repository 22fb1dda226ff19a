"""Reproducer study: whether every reproducer of a run shows its failure, each in a process of its own.

Run ``python conformance/studies/reproducers/study.py RUN…`` where the frameworks of the runs are installed. One
process per core imports a framework and forks a child for each script, so each script makes the first call. A script
that does not show its failure is executed again by a new interpreter before it is reported.
"""

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
    str(Path(__file__).resolve().parents[3] / folder) for folder in ("conformance", "cases", "reports", "reference")
)

from kl_conformance import processes
from kl_conformance.diagnosis.confirmation import SECONDS, ScriptResult, execute, with_reproducers
from kl_reports.files import RunFileError
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Run, Verdict

FAILED = {Verdict.FAIL, Verdict.EXPECTED, Verdict.NONDETERMINISTIC}
FORK_SERVER = Path(__file__).with_name("fork_server.py")
SHOWN = "10"  # exit code that fork_server.py prints for a failed assertion
IMPORT = re.compile(r"^import ([\w.]+)", re.MULTILINE)
CORES, MOST = os.cpu_count() or 1, 40  # MOST: scripts of a batch


@dataclass(frozen=True, slots=True)
class ExecutedScript:
    """One reproducer, its cells, and its result; None if its framework is not installed."""

    framework: str
    script: str
    cells: tuple[str, ...]
    seen: ScriptResult | None = None

    @property
    def chapter(self) -> str:
        """The chapter of the failed requirement."""
        return self.cells[0].partition("/")[0]


def scripts(runs: Iterable[Run]) -> tuple[list[ExecutedScript], Counter[str]]:
    """Return the reproducers of runs, and the number of failed cells without one, by framework."""
    found: dict[tuple[str, str], list[str]] = {}
    without: Counter[str] = Counter()
    for run in map(with_reproducers, runs):
        for result in run.results:
            if result.verdict in FAILED:
                framework = run.header.columns[result.column].framework
                script = str((result.witness or {}).get("reproducer", ""))
                if script:
                    found.setdefault((framework, script), []).append(result.cell)
                else:
                    without[framework] += 1
    return [ExecutedScript(*place, tuple(cells)) for place, cells in found.items()], without


def executed(found: Iterable[ExecutedScript]) -> Iterator[ExecutedScript]:
    """Execute scripts in batches, and yield each with its result."""
    batches: list[list[ExecutedScript]] = []
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


def _framework(each: ExecutedScript) -> str:
    return each.framework


def _batch(batch: list[ExecutedScript]) -> list[ExecutedScript]:
    """Execute scripts of one framework in children of one process; rerun alone those that show no failure."""
    modules = {name for each in batch for name in IMPORT.findall(each.script)}
    request = {"modules": sorted(modules), "scripts": [each.script for each in batch], "seconds": SECONDS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        done = processes.run_python(
            str(FORK_SERVER), str(file), seconds=SECONDS * (len(batch) + 1), folder=Path(folder)
        )
    codes = dict(enumerate(done.stdout.split()))
    return [
        replace(each, seen=ScriptResult.FAILURE if codes.get(place) == SHOWN else execute(each.script))
        for place, each in enumerate(batch)
    ]


def table(all_shown: Iterable[ExecutedScript], without: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each framework and chapter, with counts of results."""
    counts: dict[tuple[str, str], Counter[ScriptResult | None]] = {}
    for each in all_shown:
        counts.setdefault((each.framework, each.chapter), Counter())[each.seen] += 1
    yield "framework   chapter        scripts   shown      correct    other end  not installed"
    for (framework, chapter), seen in sorted(counts.items()):
        ends = (seen[ScriptResult.FAILURE], seen[ScriptResult.CORRECT], seen[ScriptResult.INCONCLUSIVE], seen[None])
        yield f"{framework:12}{chapter:14}{sum(ends):8}{ends[0]:8}{ends[1]:13}{ends[2]:13}{ends[3]:15}"
    for framework, number in sorted(without.items()):
        yield f"{framework}: {number} failed cells have no short script"


def main(paths: list[str]) -> int:
    """Execute the scripts of run files; return 1 if one shows no failure, 2 if a file cannot be read."""
    if not paths:
        print("no run file given; usage: python conformance/studies/reproducers/study.py RUN…", file=sys.stderr)
        return 2
    try:
        found, without = scripts(read(Path(path)) for path in paths)
    except RunFileError as error:
        print(error, file=sys.stderr)
        return 2
    done: list[ExecutedScript] = []
    for each in executed(found):
        done.append(each)
        if len(done) % MOST == 0 or len(done) == len(found):
            print(f"{len(done)} of {len(found)}", file=sys.stderr, flush=True)
    print("\n".join(table(done, without)))
    wrong = [each for each in done if each.seen in {ScriptResult.CORRECT, ScriptResult.INCONCLUSIVE}]
    for each in wrong:
        print(f"\n{', '.join(each.cells)}: {each.seen.value if each.seen else ''}\n{each.script}")
    cells = sum(len(each.cells) for each in done if each.seen is ScriptResult.FAILURE)
    shown = sum(each.seen is ScriptResult.FAILURE for each in done)
    print(f"\n{shown} of {len(done)} scripts showed the failure of {cells} cells; {len(wrong)} did not.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
