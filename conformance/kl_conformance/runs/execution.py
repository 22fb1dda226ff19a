"""Executes a run: worker processes, the merged run file, and pytest's exit code."""

import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import builtin_dtypes, reduced_dtypes
from kl_conformance.errors import check_known
from kl_conformance.implementations.loading import is_user_kernel
from kl_conformance.runs.pool import ignore_signals, run_workers
from kl_conformance.runs.probe import probe
from kl_conformance.runs.process import Limits
from kl_conformance.runs.progress import by_chapter, by_worker
from kl_conformance.runs.selection import Selection, parse_shape
from kl_conformance.runs.shards import shards
from kl_conformance.runs.worker import FAILED, HARNESS, INTERRUPTED, NOTHING, OK, USAGE, Worker
from kl_reports.analysis.wording import count
from kl_reports.files import RunFileError, check_writable
from kl_reports.formats.summary import exit_code, summary
from kl_reports.runfile.file import write
from kl_reports.runfile.merge import merge
from kl_reports.runfile.records import Kind, Run, Verdict

Describe = Callable[[Run], str]
Write = Callable[[Path, Run], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of ``run`` and ``verify`` as given, names unchecked; ``command`` is named in messages."""

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
    command: str = "run"
    shape: str = ""

    def selection(self) -> Selection:
        """Return the options as a selection with a seed, every name checked.

        Raises
        ------
        UnknownNameError
            The message gives the name and the known names.
        ValueError
            An implementation is a file without a name in it, or the shape cannot be read.
        """
        check_known("profile", [self.profile], [each.value for each in TestProfile])
        for name in self.implementations:
            if name.endswith(".py"):
                raise ValueError(f"{name!r} is a file; name the implementation in it, as in {name}:NAME")
        profile = TestProfile(self.profile)
        selection = Selection(
            implementations=self.implementations,
            frameworks=self.frameworks,
            devices=self.devices,
            dtypes=self.dtypes,
            modes=self.modes,
            profile=profile,
            seed=secrets.randbelow(2**32) if self.seed is None else self.seed,
            like=self.like,
            strict=self.strict,
            shape=parse_shape(self.shape),
            reduced=reduced_dtypes(self.dtypes, profile),
        )
        selection.check()
        return selection


def execute(
    options: RunOptions, describe: Describe = summary, limits: Limits | None = None, save: Write = write
) -> int:
    """Run the workers, merge their run files, print a description, and return pytest's exit code.

    Parameters
    ----------
    describe
        Returns what is printed of the finished run.
    limits
        Those of each worker process; None for an equal part of this machine.
    save
        Writes the merged run file.
    """
    try:
        selection = options.selection()
        options.output.parent.mkdir(parents=True, exist_ok=True)
        check_writable(options.output)
        parts = shards(selection)
        if not parts:
            return _refuse(selection.explain_empty(), NOTHING, options.command)
        # A folder of its own: another run into the same file may be in progress.
        folder = Path(tempfile.mkdtemp(prefix=f"{options.output.name}.parts-", dir=options.output.parent))
    except OSError as error:
        return _refuse(f"{options.output}: cannot be written: {error.strerror}", USAGE, options.command)
    except (ValueError, RunFileError) as error:
        return _refuse(str(error), USAGE, options.command)
    optional = not (options.frameworks or options.implementations)
    limits = limits or Limits.for_this_machine(min(len(parts), os.cpu_count() or 1))
    workers = [
        Worker(part, options.keyword, optional, folder, position, limits) for position, part in enumerate(parts, 1)
    ]
    console = Console(stderr=True)
    names = ", ".join(worker.name for worker in workers)
    effort = f"profile {options.profile}, seed {selection.seed}{_dtypes(selection)}"
    console.print(f"Testing {names}; {effort}.", highlight=False, markup=False, soft_wrap=True)
    interrupted = run_workers(workers, console, by_chapter if options.command == "verify" else by_worker)
    with ignore_signals():
        return _conclude(options, workers, folder, describe, save, interrupted=interrupted)


def _dtypes(selection: Selection) -> str:
    """Return the dtypes that the quick profile tests of built-in implementations, as the end of a sentence."""
    tested = (
        ()
        if selection.dtypes
        else builtin_dtypes((), selection.modes, selection.profile, selection.builtin_implementations())
    )
    return f", in {' and '.join(tested)} (--dtype tests other dtypes)" if tested else ""


def _conclude(
    options: RunOptions, workers: Sequence[Worker], folder: Path, describe: Describe, save: Write, *, interrupted: bool
) -> int:
    """Write the run files of all workers as one, print its description, and return the exit code."""
    mistakes = "; ".join(dict.fromkeys(each.exit_message() for each in workers if each.exit_code == USAGE))
    code, message = (OK, "") if interrupted else _import_failure(workers)
    if all(worker.exit_code == NOTHING for worker in workers):
        code, message = (
            NOTHING,
            (
                f"nothing to test: no cell name matches -k {options.keyword!r}; cells are named "
                "requirement@implementation-version-device-dtype-mode (see kl-conformance list requirements)"
            ),
        )
    elif not message and not any(worker.evaluated for worker in workers):
        code, message = USAGE, mistakes
    if message:
        shutil.rmtree(folder, ignore_errors=True)
        return _refuse(message, code, options.command)
    run = merge([worker.run() for worker in workers if worker.exit_code != NOTHING])
    try:
        save(options.output, run)
    except RunFileError as error:
        rescue = f"the results so far are kept: kl-conformance merge {shlex.quote(str(folder))} -o RUN"
        return _refuse(f"{error}; {rescue}", HARNESS, options.command)
    code = _exit_code(workers, run, interrupted=interrupted)
    if code != HARNESS and not any(worker.ended_unexpectedly for worker in workers):
        shutil.rmtree(folder, ignore_errors=True)  # the logs of crashed workers are kept
    if not mistakes:
        print(describe(run))
    print(f"Run file: {options.output}")
    print(f"Next: kl-conformance report {shlex.quote(str(options.output))} -o kl-conformance.html")
    _explain(code, workers, run, mistakes, options.command)
    return code


def _import_failure(workers: Sequence[Worker]) -> tuple[int, str]:
    """Return why importing a user kernel ended its worker, with the exit code; an empty reason if none did."""
    for worker in workers:
        failed = worker.started and not worker.planned and worker.exit_code not in {USAGE, NOTHING, HARNESS}
        if failed and any(map(is_user_kernel, worker.shard.selection.implementations)):
            try:
                probe(worker.shard.selection)
            except ValueError as error:
                return USAGE, str(error)
    return OK, ""


def _exit_code(workers: Sequence[Worker], run: Run, *, interrupted: bool) -> int:
    """Return the most serious exit code, as pytest defines them."""
    codes = {worker.exit_code for worker in workers}
    if interrupted:
        return INTERRUPTED
    for serious in (USAGE, HARNESS, INTERRUPTED):
        if serious in codes:
            return serious
    if FAILED in codes or any(worker.ended_unexpectedly for worker in workers):
        return FAILED
    if all(result.verdict is Verdict.MISSING for result in run.results):
        return NOTHING
    return max(OK, exit_code(run))


def _explain(code: int, workers: Sequence[Worker], run: Run, mistakes: str, command: str) -> None:
    """Print on stderr why a run ended early, and where the logs are."""
    for worker in workers:
        if worker.ended_unexpectedly:
            print(f"Log of the worker of {worker.name}: {worker.log}", file=sys.stderr)
    if code == INTERRUPTED:
        names = [each.name for each in workers if each.exit_code == INTERRUPTED and not each.interrupted]
        cause = f": the implementation under test exited the process ({', '.join(names)})" if names else ""
        print(f"Interrupted{cause}. The results so far are in the run file.", file=sys.stderr)
    elif code == USAGE:
        _refuse(f"{mistakes}; other workers were stopped, their results are in the run file", USAGE, command)
    elif code == HARNESS:
        _explain_harness(workers, run)
    elif code == NOTHING:
        _refuse("no implementation could be tested: every cell is MISSING", NOTHING, command)


def _explain_harness(workers: Sequence[Worker], run: Run) -> None:
    failed = [result for result in run.results if result.kind is Kind.HARNESS]
    if failed:
        first = f"{failed[0].cell}: {failed[0].detail}"
        cells = count(len(failed), "cell")
        print(f"{cells} UNDECIDED because the suite itself failed: {first}", file=sys.stderr)
    for worker in workers:
        if worker.exit_code == HARNESS:
            message = "" if failed else f" {worker.exit_message()};"
            print(f"The worker of {worker.name} failed:{message} log: {worker.log}", file=sys.stderr)


def _refuse(message: str, code: int, command: str) -> int:
    print(f"kl-conformance {command}: {message}", file=sys.stderr)
    return code
