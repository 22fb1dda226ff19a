"""`run`: a worker per framework, their run files merged into one, and what was found said in a few lines."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import builtin_dtypes, reduced_dtypes
from kl_conformance.cli.options import PROFILES, SEED, several
from kl_conformance.errors import check_known
from kl_conformance.implementations.loading import is_user_kernel
from kl_conformance.runs.pool import undisturbed, watch
from kl_conformance.runs.probe import probe
from kl_conformance.runs.process import Limits
from kl_conformance.runs.progress import by_chapter, by_worker
from kl_conformance.runs.selection import Selection, parse_shape
from kl_conformance.runs.shards import shards
from kl_conformance.runs.worker import BROKEN, HARNESS, INTERRUPTED, NOTHING, OK, USAGE, Worker
from kl_reports.files import RunFileError, check_writable
from kl_reports.formats.summary import exit_code, summary
from kl_reports.runfile.file import write
from kl_reports.runfile.merge import merge
from kl_reports.runfile.records import Kind, Run, Verdict


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What was asked on the command line."""

    implementations: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    profile: str = TestProfile.STANDARD.value
    seed: int | None = None
    keyword: str = ""
    output: Path = Path("kl-run.jsonl.gz")
    like: str = ""
    strict: bool = False
    verb: str = "run"
    shape: str = ""

    def selection(self) -> Selection:
        """Return the request as a selection, every name checked; without a seed it gets a fresh one.

        Raises
        ------
        UnknownNameError
            The message gives the name and the known ones.
        ValueError
            A file is named, and nothing in it, or the shape is none.
        """
        check_known("profile", [self.profile], [each.value for each in TestProfile])
        for name in self.implementations:
            if name.endswith(".py"):
                raise ValueError(f"{name!r} is a file: say what in it is to be asked, as in {name}:NAME")
        asked = Selection(
            self.implementations,
            self.frameworks,
            self.devices,
            self.dtypes,
            self.modes,
            TestProfile(self.profile),
            secrets.randbelow(2**32) if self.seed is None else self.seed,
            self.like,
            self.strict,
            parse_shape(self.shape),
            reduced_dtypes(self.dtypes, TestProfile(self.profile)),
        )
        asked.check()
        return asked


def execute(request: RunOptions, tell: Callable[[Run], str] = summary, limits: Limits | None = None) -> int:
    """Ask, merge, write, and say what was found, as ``tell`` words it; the exit code is pytest's.

    ``limits`` are those of each worker's processes; when None, those of this machine.
    """
    try:
        selection = request.selection()
        request.output.parent.mkdir(parents=True, exist_ok=True)
        check_writable(request.output)
        asked = shards(selection)
        if not asked:
            return _refuse(selection.vain(), NOTHING, request.verb)
        # A folder of its own: another run into the same file may be under way.
        folder = Path(tempfile.mkdtemp(prefix=f"{request.output.name}.parts-", dir=request.output.parent))
    except OSError as error:
        return _refuse(f"{request.output}: cannot be written: {error.strerror}", USAGE, request.verb)
    except (ValueError, RunFileError) as error:
        return _refuse(str(error), USAGE, request.verb)
    optional = not (request.frameworks or request.implementations)
    limits = limits or Limits.here(min(len(asked), os.cpu_count() or 1))
    workers = [
        Worker(share, request.keyword, optional, folder, position, limits)
        for position, share in enumerate(asked, 1)
    ]
    console = Console(stderr=True)
    names = ", ".join(worker.name for worker in workers)
    about = f"profile {request.profile}, seed {selection.seed}"
    few = _formats(selection)
    console.print(f"Asking {names}; {about}{few}.", highlight=False, markup=False, soft_wrap=True)
    interrupted = watch(workers, console, by_chapter if request.verb == "verify" else by_worker)
    with undisturbed():
        return _conclude(request, workers, folder, tell, interrupted=interrupted)


def _formats(selection: Selection) -> str:
    """Return, in words, in which formats alone known implementations are asked; empty where in all, or as was said."""
    few = (
        () if selection.dtypes else builtin_dtypes((), selection.modes, selection.profile, selection.known())
    )
    return f", in {' and '.join(few)} (--dtype asks other formats)" if few else ""


def _conclude(
    request: RunOptions,
    workers: Sequence[Worker],
    folder: Path,
    tell: Callable[[Run], str],
    *,
    interrupted: bool,
) -> int:
    """Write one run file of all workers' and say what is in it."""
    if all(worker.code == NOTHING for worker in workers):
        shutil.rmtree(folder, ignore_errors=True)
        return _refuse(
            f"nothing to ask: no cell's name matches -k {request.keyword!r}; cells are named "
            "requirement@implementation-version-device-dtype-mode (see kl-conformance list requirements)",
            NOTHING,
        )
    why = "" if interrupted else _unimportable(workers)
    if why:
        shutil.rmtree(folder, ignore_errors=True)
        return _refuse(why, USAGE, request.verb)
    whole = merge([worker.run() for worker in workers if worker.code != NOTHING])
    mistakes = dict.fromkeys(worker.last_words() for worker in workers if worker.code == USAGE)
    if mistakes and not any(worker.judged for worker in workers):
        shutil.rmtree(folder, ignore_errors=True)
        return _refuse("; ".join(mistakes), USAGE, request.verb)
    try:
        write(request.output, whole)
    except RunFileError as error:
        kept = f"what was judged is kept: kl-conformance merge {shlex.quote(str(folder))} -o RUN"
        return _refuse(f"{error}; {kept}", HARNESS)
    code = _code(workers, whole, interrupted=interrupted)
    if code != HARNESS and not any(worker.died for worker in workers):
        shutil.rmtree(folder, ignore_errors=True)  # where something died, its last words are worth keeping
    if not mistakes:
        print(tell(whole))
    print(f"Run file: {request.output}")
    print(f"Next: kl-conformance report {shlex.quote(str(request.output))} -o kl-conformance.html")
    _explain(code, workers, whole, "; ".join(mistakes))
    return code


def _unimportable(workers: Sequence[Worker]) -> str:
    """Return why a user's kernel took its process with it before it was asked anything; empty where none did."""
    for worker in workers:
        lost = worker.started and not worker.planned and worker.code not in {USAGE, NOTHING, HARNESS}
        if lost and any(map(is_user_kernel, worker.share.selection.implementations)):
            try:
                probe(worker.share.selection)
            except ValueError as error:
                return str(error)
    return ""


def _code(workers: Sequence[Worker], whole: Run, *, interrupted: bool) -> int:
    """Return the most serious of what happened, as pytest would say it."""
    codes = {worker.code for worker in workers}
    if interrupted:
        return INTERRUPTED
    for serious in (USAGE, HARNESS, INTERRUPTED):
        if serious in codes:
            return serious
    if BROKEN in codes or any(worker.died for worker in workers):
        return BROKEN
    if all(result.verdict is Verdict.MISSING for result in whole.results):
        return NOTHING
    return max(OK, exit_code(whole))


def _explain(code: int, workers: Sequence[Worker], whole: Run, mistakes: str) -> None:
    """Say on stderr why a run did not simply end with what was found."""
    for worker in workers:
        if worker.died:
            print(f"All the worker of {worker.name} said: {worker.log}", file=sys.stderr)
    match code:
        case _ if code == INTERRUPTED:
            own = [worker.name for worker in workers if worker.code == INTERRUPTED and not worker.stopped]
            by = f" by what was asked itself ({', '.join(own)})" if own else ""
            print(f"Interrupted{by}: what was judged until then is in the run file.", file=sys.stderr)
        case _ if code == USAGE:
            _refuse(f"{mistakes}; the others were stopped, what they judged is in the run file", USAGE)
        case _ if code == HARNESS:
            _explain_harness(workers, whole)
        case _ if code == NOTHING:
            _refuse("nobody could be asked: every cell is MISSING", NOTHING)
        case _:
            pass


def _explain_harness(workers: Sequence[Worker], whole: Run) -> None:
    lost = [result for result in whole.results if result.kind is Kind.HARNESS]
    if lost:
        print(f"{len(lost)} cells are UNDECIDED: {lost[0].cell}: {lost[0].detail}", file=sys.stderr)
    for worker in workers:
        if worker.code == HARNESS:
            words = "" if lost else f" {worker.last_words()};"
            print(f"The worker of {worker.name} failed:{words} all it said: {worker.log}", file=sys.stderr)


def _refuse(why: str, code: int, verb: str = "run") -> int:
    print(f"kl-conformance {verb}: {why}", file=sys.stderr)
    return code


EXAMPLE = """\b
A kernel of your own is declared in Python, with what it computes:
  from kl_conformance import Convention, Implementation, Reduction, Space
  def call(modules, call):  # modules.torch is torch; call.target and call.model are tensors
      return my_kl(call.model, call.target, **call.keywords)
  MINE = Implementation(name="my_kl", framework="torch", package="torch", call=call,
      convention=Convention(target=(Space.PROBABILITY,), model=(Space.LOG,),
          reductions={"none": Reduction.TERMS, "batchmean": Reduction.BATCHMEAN}, default="batchmean"))
and asked by: kl-conformance run my_kernels.py:MINE"""


@click.command(epilog=EXAMPLE)
@click.argument("implementations", nargs=-1, metavar="[IMPLEMENTATION]...")
@click.option(
    "--framework", "frameworks", multiple=True, callback=several, help="Ask this framework's implementations."
)
@click.option("--device", "devices", multiple=True, callback=several, help="cpu or cuda.")
@click.option("--dtype", "dtypes", multiple=True, callback=several, help="Formats, as in float16,bfloat16.")
@click.option(
    "--mode",
    "modes",
    multiple=True,
    callback=several,
    help="eager (if not said), jit, graph, xla or compile.",
)
@click.option("--profile", default="standard", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@click.option(
    "--seed",
    type=int,
    default=None,
    envvar=SEED,
    show_envvar=True,
    help="Seed of the search; without it a fresh one, which is printed.",
)
@click.option("-k", "keyword", default="", help="Ask only cells whose name matches, as pytest's -k does.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("kl-run.jsonl.gz"),
    show_default=True,
    help="The run file.",
)
def run(
    implementations: tuple[str, ...],
    frameworks: tuple[str, ...],
    devices: tuple[str, ...],
    dtypes: tuple[str, ...],
    modes: tuple[str, ...],
    profile: str,
    seed: int | None,
    keyword: str,
    output: Path,
) -> None:
    """Ask implementations, one worker process per framework, and write a run file.

    IMPLEMENTATION is a known name (see `kl-conformance list implementations`), module:attribute or
    file.py:attribute. Exit codes are pytest's: 0 as recorded, 1 something new is broken, 2 interrupted,
    3 the harness failed, 4 bad usage, 5 nothing to ask.
    """
    request = RunOptions(implementations, frameworks, devices, dtypes, modes, profile, seed, keyword, output)
    sys.exit(execute(request))
