"""Profiles one worker of a run: its CPU seconds by part, in a child process."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kl_cases.recipes import Recipe, build
from kl_conformance import processes
from kl_conformance.harness import heartbeat
from kl_conformance.harness.opening import open_subject
from kl_conformance.harness.subject import Subject
from kl_conformance.requirements import catalogue
from kl_conformance.runs.plan import PlannedCell
from kl_conformance.runs.worker import SUITE
from kl_conformance_testkit.stopwatch import Part, Stopwatch, instrument
from kl_reports.runfile.file import read

HOURS = 3
# The time by number of classes is measured with this requirement, on this many problems of this many rows.
SIZED, ROWS, PROBLEMS = "values/pointwise", 3, 8


@dataclass(frozen=True, slots=True)
class Workload:
    """The cells that a profiled worker evaluates.

    Parameters
    ----------
    options
        Options of pytest and of the suite, such as ``--framework=scipy``.
    every
        Select every so-many-th requirement of the catalogue.
    columns
        Select the first so many columns of the plan; all when None.
    classes
        Numbers of classes at which the first column is also timed on problems of ``SIZED``.
    """

    options: tuple[str, ...]
    every: int = 1
    columns: int | None = None
    classes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a worker evaluated, and its CPU seconds by the value of each :class:`Part`.

    ``classes`` has the mean seconds of one problem, by its number of classes and by part.
    """

    requirements: int
    columns: int
    cells: int
    problems: int
    seconds: Mapping[str, float]
    classes: Mapping[str, Mapping[str, float]]

    @property
    def total(self) -> float:
        """CPU seconds of the whole process, its start included."""
        return sum(self.seconds.values())

    @property
    def shares(self) -> dict[str, float]:
        """Fraction of the total time, by part."""
        return {part: seconds / self.total for part, seconds in self.seconds.items()}


def measure(workload: Workload) -> Measurement:
    """Profile a worker in a child process, started as a run starts it.

    Raises
    ------
    RuntimeError
        The process wrote no measurement; the message has its last output.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = ["-m", __name__, name, json.dumps(asdict(workload))]
        home = {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
        done = processes.run_python(*arguments, seconds=HOURS * 3600, folder=folder, variables=home)
        file = folder / "measured.json"
        if not file.is_file():
            raise RuntimeError(f"{' '.join(workload.options)}: {processes.last_line(done)} {done.stdout[-500:]}")
        return Measurement(**json.loads(file.read_text(encoding="utf-8")))


@dataclass(slots=True)
class CellFilter:
    """A pytest plugin that keeps only the cells of a workload."""

    workload: Workload
    planned: list[PlannedCell] = field(default_factory=list[PlannedCell])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the cells of the selected requirements and columns, in their order."""
        requirements = {each.id for each in list(catalogue.REQUIREMENTS.values())[:: self.workload.every]}
        cells: dict[str, Any] = {item.nodeid: vars(item)["callspec"].params["cell"] for item in items}
        columns = dict.fromkeys(cell.column.key for cell in cells.values())
        selected = set(list(columns)[: self.workload.columns])
        items[:] = [
            item
            for item in items
            if cells[item.nodeid].requirement.id in requirements and cells[item.nodeid].column.key in selected
        ]
        self.planned = [cells[item.nodeid] for item in items]


def main(folder: Path, workload: Workload) -> None:
    """Evaluate a workload in this process, and write the measurement to ``measured.json``."""
    watch = Stopwatch()
    instrument(watch)
    selected, file, beat = CellFilter(workload), folder / "run.jsonl.gz", folder / "heartbeat"
    heartbeat.create(beat)
    arguments: Sequence[str] = [
        *("--pyargs", "kl_conformance.suite", "-c", str(SUITE / "pytest.ini"), "-p", "kl_conformance.plugin"),
        *("-q", "--kl-seed=1", f"--run-file={file}", f"--kl-heartbeat={beat}", *workload.options),
    ]
    watch.enter(Part.REST)
    pytest.main(list(arguments), plugins=[selected])
    seconds = {part.value: spent for part, spent in watch.spent().items()}
    measurement = Measurement(
        requirements=len({each.requirement.id for each in selected.planned}),
        columns=len({each.column.key for each in selected.planned}),
        cells=len(selected.planned),
        problems=sum(each.problems for each in read(file).results),
        seconds=seconds,
        classes={str(count): _by_classes(watch, selected.planned[0], count) for count in workload.classes},
    )
    (folder / "measured.json").write_text(json.dumps(asdict(measurement)), encoding="utf-8")


def _by_classes(watch: Stopwatch, cell: PlannedCell, count: int) -> dict[str, float]:
    """Return the mean seconds of a problem of so many classes, the first of its shape among them."""
    requirement, subject = catalogue.requirement(SIZED), open_subject(cell.implementation, cell.column)
    assert isinstance(subject, Subject), subject
    before = watch.spent()
    for number in range(PROBLEMS):
        watch.enter(Part.STRATEGY)
        pair = build(Recipe(requirement.families[0], (ROWS, count), subject.dtype, number))
        watch.leave()
        list(requirement.check(subject, pair))
    return {part.value: (spent - before[part]) / PROBLEMS for part, spent in watch.spent().items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Workload(**json.loads(sys.argv[2])))
