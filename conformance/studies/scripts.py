"""Whether every reproducer of a run shows its failure, each executed in a clean process.

Run ``python conformance/studies/scripts.py RUN…`` where the frameworks of the runs are installed. As many scripts are
executed at a time as there are cores; what takes long is the framework's import.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[2] / house)
    for house in ("conformance", "cases", "reports", "reference")
)

from kl_conformance.execution import Seen, execute
from kl_conformance.proving import scripted
from kl_reports.exchange import RunFileError, read
from kl_reports.result import Run, Verdict

BROKEN = {Verdict.FAIL, Verdict.EXPECTED, Verdict.NONDETERMINISTIC}
EVERY = 25  # scripts between two lines of progress


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
    """Give each script with what it came to, in the order in which they end."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        waiting: dict[Future[Seen], Shown] = {}
        for each in found:
            if importlib.util.find_spec(each.framework) is None:
                yield each
            else:
                waiting[pool.submit(execute, each.script)] = each
        for done in as_completed(waiting):
            each = waiting[done]
            yield Shown(each.framework, each.script, each.cells, done.result())


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
        print("no run file was named; run: python conformance/studies/scripts.py RUN…", file=sys.stderr)
        return 2
    try:
        found, without = scripts(read(Path(path)) for path in paths)
    except RunFileError as error:
        print(error, file=sys.stderr)
        return 2
    done: list[Shown] = []
    for each in executed(found):
        done.append(each)
        if len(done) % EVERY == 0:
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
