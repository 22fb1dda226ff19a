"""Time of a store to ingest a million results, and to read two runs of 20,000 cells for a comparison.

Run ``python reports/benchmarks/store_ingest.py`` (two minutes; ``--store URL`` names an empty database other than an
SQLite file). The runs are of fifty versions; headroom, seconds and spread differ in every cell of every run, so almost
no text repeats, unlike in real runs of one seed. The limits are on CPU seconds of this process.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.file import write
from kl_reports.runfile.records import Column, Result, Run, Verdict
from kl_reports.store.store import Store
from kl_reports_testkit.example_runs import SPREAD, large_run

RUNS = 50
MOST_INGESTING, MOST_READING = 60.0, 1.0  # seconds


def versions(run: Run, number: int) -> Run:
    """Return the run with other versions and with every measured number changed."""
    columns = {key: replace(column, version=f"{column.version}.{number}") for key, column in run.header.columns.items()}

    def cell(name: str) -> str:
        own = CellId.parse(name)
        return str(CellId(own.requirement, columns[own.column].key))

    header = replace(
        run.header,
        columns={column.key: column for column in columns.values()},
        planned=tuple(map(cell, run.header.planned)),
    )
    return replace(run, header=header, results=tuple(_results(run, columns, number)))


def _results(run: Run, columns: dict[str, Column], number: int) -> Iterator[Result]:
    for place, result in enumerate(run.results):
        column = columns[result.column].key
        if result.verdict is Verdict.UNSUPPORTED:
            yield replace(result, column=column)
            continue
        own = 1 + number * len(run.results) + place
        spread = replace(SPREAD, classes={**SPREAD.classes, 4099: own})
        yield replace(result, column=column, headroom=1 / own, seconds=own / 7, spread=spread)


def main() -> int:
    """Measure and print; return 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--store", default="", help="an empty database; a new SQLite file when not given")
    place = parser.parse_args().store
    base = large_run()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "run.jsonl.gz"
        place = place or str(Path(name) / "kl-conformance.db")
        spent = waited = 0.0
        runs: list[str] = []
        with Store(place, make=True) as store:
            for number in range(RUNS):
                write(file, versions(base, number))
                begin, clock = time.process_time(), time.perf_counter()
                runs.append(store.add(file)[0])
                spent, waited = spent + time.process_time() - begin, waited + time.perf_counter() - clock
        results = RUNS * len(base.results)
        begin, clock = time.process_time(), time.perf_counter()
        with Store(place) as store:
            old, new = store.run(runs[RUNS // 2]), store.run(runs[-1])
        reading, looking = time.process_time() - begin, time.perf_counter() - clock
        assert len(old.results) == len(new.results) == len(base.results)
        size = Path(place).stat().st_size / 1e6 if "://" not in place else None
    print(f"{results:,} results of {RUNS} runs{f', {size:.0f} MB' if size else ''}; CPU seconds")
    within = spent <= MOST_INGESTING and reading <= MOST_READING
    print(f"  ingested, at most {MOST_INGESTING:g}: {spent:.1f} ({waited:.1f} elapsed)")
    print(f"  two runs read, at most {MOST_READING:g}: {reading:.2f} ({looking:.2f} elapsed)")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
