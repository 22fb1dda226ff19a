"""A worker of a run, asked as ever in a process of its own, and what its time went on."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kl_cases.recipes import Recipe, build
from kl_conformance import catalogue, host, note
from kl_conformance.harness.opening import open_subject
from kl_conformance.plan import Planned
from kl_conformance.subject import Subject
from kl_conformance.worker import SUITE
from kl_conformance_testkit.stopwatch import Part, Stopwatch, put
from kl_reports.exchange import read

HOURS = 3
SIZED, ROWS, PROBLEMS = "values/pointwise", 3, 8  # what is asked of many classes, of problems of so many rows


@dataclass(frozen=True, slots=True)
class Question:
    """What a worker is asked, and how much of it.

    Parameters
    ----------
    options
        Pytest's and the suite's, such as ``--framework=scipy``.
    every
        Of the catalogue's requirements each so-many-th is asked.
    columns
        So many columns are asked, the first of the plan; all when None.
    classes
        Numbers of classes at which the first column is then asked ``SIZED`` of some problems.
    """

    options: tuple[str, ...]
    every: int = 1
    columns: int | None = None
    classes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker asked, and the CPU seconds it took by the name of a :class:`Part`.

    ``classes`` has those of one problem, by its number of classes.
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
        """What fraction of the whole each part took."""
        return {part: seconds / self.total for part, seconds in self.seconds.items()}


def measure(asked: Question) -> Measured:
    """Ask in a process of its own, as a run would start it.

    Raises
    ------
    RuntimeError
        It measured nothing; the message is its last words.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = ["-m", __name__, name, json.dumps(asdict(asked))]
        home = {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
        done = host.python(*arguments, seconds=HOURS * 3600, folder=folder, variables=home)
        found = folder / "measured.json"
        if not found.is_file():
            raise RuntimeError(f"{' '.join(asked.options)}: {host.last_line(done)} {done.stdout[-500:]}")
        return Measured(**json.loads(found.read_text(encoding="utf-8")))


@dataclass(slots=True)
class Thinned:
    """A plugin that lets only part of a session's cells be asked."""

    asked: Question
    planned: list[Planned] = field(default_factory=list[Planned])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the cells of some requirements and columns, in their order."""
        kept = {each.id for each in list(catalogue.REQUIREMENTS.values())[:: self.asked.every]}
        cells: dict[str, Any] = {item.nodeid: vars(item)["callspec"].params["cell"] for item in items}
        columns = dict.fromkeys(cell.column.key for cell in cells.values())
        wanted = set(list(columns)[: self.asked.columns])
        items[:] = [
            item
            for item in items
            if cells[item.nodeid].requirement.id in kept and cells[item.nodeid].column.key in wanted
        ]
        self.planned = [cells[item.nodeid] for item in items]


def main(folder: Path, asked: Question) -> None:
    """Ask in this process, and write down what it took."""
    watch = Stopwatch()
    put(watch)
    thinned, file, page = Thinned(asked), folder / "run.jsonl.gz", folder / "page.note"
    note.lay(page)
    arguments: Sequence[str] = [
        *("--pyargs", "kl_conformance.suite", "-c", str(SUITE / "pytest.ini"), "-p", "kl_conformance.plugin"),
        *("-q", "--kl-seed=1", f"--run-file={file}", f"--kl-note={page}", *asked.options),
    ]
    watch.enter(Part.REST)
    pytest.main(list(arguments), plugins=[thinned])
    seconds = {part.value: spent for part, spent in watch.spent().items()}
    found = Measured(
        requirements=len({each.requirement.id for each in thinned.planned}),
        columns=len({each.column.key for each in thinned.planned}),
        cells=len(thinned.planned),
        problems=sum(each.problems for each in read(file).results),
        seconds=seconds,
        classes={str(count): _by_classes(watch, thinned.planned[0], count) for count in asked.classes},
    )
    (folder / "measured.json").write_text(json.dumps(asdict(found)), encoding="utf-8")


def _by_classes(watch: Stopwatch, cell: Planned, count: int) -> dict[str, float]:
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
    main(Path(sys.argv[1]), Question(**json.loads(sys.argv[2])))
