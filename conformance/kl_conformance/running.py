"""`run`: one worker process per framework, watched as they go, their run files merged into one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kl_cases.problems import Profile
from kl_conformance import catalogue, host, plan, registry
from kl_conformance.plan import Selection
from kl_reports.exchange import Follower, RunFileError, read, write
from kl_reports.merge import merge
from kl_reports.result import Result, Run, Verdict
from kl_reports.summary import exit_code, summary

SUITE = Path(__file__).parent / "suite"
OK, BROKEN, INTERRUPTED, HARNESS, USAGE, NOTHING = 0, 1, 2, 3, 4, 5
_SERIOUS = (INTERRUPTED, HARNESS, USAGE, BROKEN)
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked on the command line."""

    implementations: tuple[str, ...]
    frameworks: tuple[str, ...]
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    modes: tuple[str, ...]
    profile: str
    seed: int | None
    keyword: str
    output: Path

    def selection(self, seed: int) -> Selection:
        """Return the request as a selection, every name checked.

        Raises
        ------
        ValueError
            A name is unknown; the message gives it and the known ones.
        """
        if self.profile not in {each.value for each in Profile}:
            raise registry.UnknownName("profile", self.profile, [each.value for each in Profile])
        asked = Selection(
            self.implementations,
            self.frameworks,
            self.devices,
            self.dtypes,
            self.modes,
            Profile(self.profile),
            seed,
        )
        if not asked.columns():
            raise ValueError("nothing to ask: no implementation is of that framework, device and dtype")
        return asked


@dataclass(slots=True)
class Worker:
    """One process that asks one framework's implementations."""

    name: str
    selection: Selection
    keyword: str
    optional: bool
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    follower: Follower = field(init=False)
    planned: int = 0
    judged: int = 0

    def __post_init__(self) -> None:
        """Name the files the worker leaves."""
        self.follower = Follower(self.file)

    @property
    def _stem(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.name)

    @property
    def file(self) -> Path:
        """Its run file."""
        return self.folder / f"{self._stem}.jsonl.gz"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / f"{self._stem}.log"

    def start(self) -> None:
        """Start the process, in the caller's folder but under the suite's own pytest configuration."""
        command = [sys.executable, "-m", "pytest", "--pyargs", "kl_conformance.suite"]
        command += ["-c", str(SUITE / "pytest.ini"), "-p", "kl_conformance.plugin", "-q", "--tb=short"]
        for option, names in (
            ("--implementation", self.selection.implementations),
            ("--framework", self.selection.frameworks),
            ("--device", self.selection.devices),
            ("--dtype", self.selection.dtypes),
            ("--mode", self.selection.modes),
        ):
            command += [f"{option}={name}" for name in names]
        command += [f"--profile={self.selection.profile.value}", f"--kl-seed={self.selection.seed}"]
        command += [f"--run-file={self.file}"]
        command += ["-k", self.keyword] if self.keyword else []
        command += ["--if-installed"] if self.optional else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=host.environment()
            )

    def poll(self) -> bool:
        """Take in what the worker wrote; whether it is still at work."""
        running = self.process is not None and self.process.poll() is None
        for kind, data in self.follower.poll():
            if kind == "header":
                self.planned = len(data["planned"])
            self.judged += kind == "result"
        return running

    @property
    def code(self) -> int:
        """Return pytest's exit code, or minus the signal that ended the worker."""
        return OK if self.process is None or self.process.returncode is None else self.process.returncode

    def run(self) -> Run:
        """Read the worker's run file back; where it left none, every cell planned is MISSING."""
        try:
            found = read(self.file)
        except RunFileError:
            found = self._nothing()
        remark = self._death()
        if remark is None:
            return found
        return Run(found.header, found.results, found.finished, (*found.remarks, remark))

    def _death(self) -> str | None:
        if self.code >= 0:
            return None
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = "no name"
        return f"the worker of {self.name} was ended by signal {-self.code} ({name})"

    def _nothing(self) -> Run:
        planned = [cell for chapter in catalogue.CHAPTERS for cell in plan.cells(self.selection, chapter)]
        why = self._death() or f"the worker of {self.name} left no run file: {self.last_words()}"
        results = tuple(
            Result(each.requirement.id, each.requirement.revision, each.column.key, Verdict.MISSING, why)
            for each in planned
        )
        return Run(plan.header(self.selection, planned), results, None, (why,))

    def last_words(self) -> str:
        """Return the last line the worker printed that says something."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it printed nothing"
        errors = [line for line in lines if line.startswith(("ERROR", "E  ")) or "Error" in line]
        said = [line.strip() for line in errors or lines if line.strip()]
        return said[-1].removeprefix("ERROR: ") if said else "it printed nothing"


def run(request: Request) -> int:
    """Ask, merge, write, and say what was found; the exit code is pytest's."""
    console = Console(stderr=True)
    seed = secrets.randbelow(2**32) if request.seed is None else request.seed
    try:
        selection = request.selection(seed)
        folder = _parts(request.output)
    except (ValueError, RunFileError) as error:
        print(f"kl-conformance run: {error}", file=sys.stderr)
        return USAGE
    workers = list(_workers(request, selection, folder))
    console.print(
        f"Asking {', '.join(worker.name for worker in workers)}; profile {request.profile}, seed {seed}.",
        highlight=False,
    )
    interrupted = _watch(workers, console)
    whole = merge([worker.run() for worker in workers if worker.process is not None])
    write(request.output, whole)
    code = _code(workers, whole, interrupted=interrupted)
    _say(request, workers, whole, code)
    if code in {OK, BROKEN}:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _workers(request: Request, selection: Selection, folder: Path) -> Iterator[Worker]:
    """Yield a worker per framework, and one for each implementation a user brings."""
    by_name: dict[str, list[str]] = {}
    brought = {name for name in request.implementations if ":" in name}
    for name in request.implementations or tuple(registry.IMPLEMENTATIONS):
        own = registry.implementation(name)
        if not request.frameworks or own.framework in request.frameworks:
            by_name.setdefault(name if name in brought else own.framework, []).append(name)
    asked_by_name = bool(request.frameworks or request.implementations)
    for name, implementations in by_name.items():
        framework = registry.implementation(implementations[0]).framework
        share = Selection(
            tuple(implementations),
            (framework,),
            selection.devices,
            selection.dtypes,
            selection.modes,
            selection.profile,
            selection.seed,
        )
        yield Worker(name, share, request.keyword, not asked_by_name, folder)


def _parts(output: Path) -> Path:
    """Make the folder of the workers' own files, and find out now whether the output can be written."""
    folder = output.with_name(f"{output.name}.parts")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
    except OSError as error:
        raise RunFileError(output, f"cannot be written: {error.strerror}") from error
    if output.is_dir():
        raise RunFileError(output, "cannot be written: it is a folder")
    return folder


def _watch(workers: list[Worker], console: Console) -> bool:
    """Run the workers, as many at once as there are cores; whether the user interrupted."""
    waiting, running = list(workers), list[Worker]()
    try:
        with _progress(console) as progress:
            bars = {worker.name: progress.add_task(worker.name, total=None) for worker in workers}
            while waiting or running:
                while waiting and len(running) < (os.cpu_count() or 1):
                    running.append(waiting.pop(0))
                    running[-1].start()
                for worker in list(running):
                    if not worker.poll():
                        worker.poll()
                        running.remove(worker)
                        if not console.is_terminal:
                            console.print(f"  {worker.name}: {worker.judged} of {worker.planned} cells")
                    total = worker.planned or None
                    progress.update(bars[worker.name], total=total, completed=worker.judged)
                time.sleep(_PAUSE)
    except KeyboardInterrupt:
        for worker in running:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGINT)
        for worker in running:
            if worker.process is not None:
                _end(worker.process)
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait a moment for an interrupted worker to close its file; a deaf one is killed."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """Show a bar per worker on a terminal, and nothing elsewhere."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _code(workers: list[Worker], whole: Run, *, interrupted: bool) -> int:
    codes = {BROKEN if worker.code < 0 else worker.code for worker in workers}
    if interrupted:
        return INTERRUPTED
    serious = next((code for code in _SERIOUS if code in codes), None)
    if serious is not None:
        return serious
    if codes == {NOTHING}:
        return NOTHING
    return exit_code(whole)


def _say(request: Request, workers: list[Worker], whole: Run, code: int) -> None:
    """Print what was found, and what to do next."""
    print(summary(whole))
    for worker in workers:
        if worker.code in {HARNESS, USAGE}:
            print(f"{worker.name}: {worker.last_words()}\n  all it said: {worker.log}", file=sys.stderr)
    if code == INTERRUPTED:
        print("Interrupted: what was judged until then is kept.", file=sys.stderr)
    print(f"Run file: {request.output}")
    print(f"Next: kl-conformance report {request.output} -o kl-conformance.html")
