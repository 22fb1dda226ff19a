"""Runs kernels in child processes, several at a time: a mutant may crash, hang or change global state."""

from __future__ import annotations

import importlib
import multiprocessing
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance.implementations import loading
from kl_conformance.judging.cache import resize_answer_cache
from kl_conformance.processes import Exit, NoAnswerError, describe_exit
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Miniature
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Result, Verdict
from studies.mutants.kernel import CorrectKernel, Mutant
from studies.mutants.worker import BINDING, Assignment, Task, TaskResult, column, evaluate, run

TIMEOUT = 120.0  # seconds without a message: the time for one cell, which may compile for many shapes
TORCH = "torch.nn.functional.kl_div"
PRELOADED = ("torch", "torch.fx.experimental.symbolic_shapes")  # the latter is imported by the first gradient
MAX_PROCESSES = 3  # processes that a kernel may end before its remaining tasks are skipped
ENOUGH = 2  # detections after which no further dtype is tested
MANY = 8  # kernels of one Convention from which computing the reference answers beforehand saves time
CACHE_BYTES = 2**40  # no limit on cached reference answers


@dataclass(frozen=True, slots=True)
class Plan:
    """How the kernels are tested.

    Parameters
    ----------
    profile, seeds
        Profile and search seeds. A mutant is tested with the first seed, a correct kernel with each. A mutant is
        tested in profile ``quick`` first, and in ``profile`` only if that does not detect it.
    correct_profile
        Profile for correct kernels; ``profile`` if None.
    dtypes
        Names, in order. Skipped: dtypes that a kernel does not support, and for a mutant those after the first in
        which two requirements detect it, and after the second in which one does.
    jobs
        Number of kernels tested at a time.
    """

    profile: TestProfile
    seeds: tuple[int, ...]
    dtypes: tuple[str, ...]
    jobs: int = 2
    correct_profile: TestProfile | None = None


@dataclass(frozen=True, slots=True)
class KernelResult:
    """Results of every evaluated cell of one kernel, and the profile tested last.

    ``small`` is the first detection, evaluated again with its witness shrunk; None without a detection.
    """

    kernel: Mutant | CorrectKernel
    results: tuple[TaskResult, ...]
    profile: TestProfile
    small: TaskResult | None = None
    seconds: float = 0.0

    @property
    def detections(self) -> dict[str, TaskResult]:
        """The first failed result of each MUST or SHOULD requirement, by requirement."""
        found: dict[str, TaskResult] = {}
        for each in self.results:
            name = each.task.requirement
            if each.result.verdict.is_news and catalogue.requirement(name).level in BINDING:
                found.setdefault(name, each)
        return found

    @property
    def suite_errors(self) -> list[TaskResult]:
        """The results in which the suite itself raised an exception."""
        return [each for each in self.results if each.suite_error]

    @property
    def witness_size(self) -> int | None:
        """Numbers on each side of the shrunk witness."""
        if self.small is None or self.small.result.witness is None:
            return None
        return max(len(self.small.result.witness[side]["bits"]) for side in ("target", "model"))


class ForkedChild:
    """A forked child process and the pipe on which it sends results.

    Unlike ``kl_conformance.processes.request``, it shares the loaded modules and cached reference answers of this
    process, so that they are not loaded and computed again for each kernel. No module may have started a thread.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=target, args=(*arguments, sender))
        self.process.start()
        sender.close()

    def kill(self) -> None:
        """Kill the process and wait for it."""
        self.process.kill()
        self.process.join()


def call_in_child(function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
    """Return ``function(*arguments)``, called in a forked child.

    Raises
    ------
    NoAnswerError
        The child ended without a result, or sent none within ``timeout`` seconds.
    """
    child = ForkedChild(_send_result, function, arguments)
    try:
        if not child.receiver.poll(timeout):
            raise NoAnswerError(Exit(None), timeout)
        return child.receiver.recv()
    except EOFError:
        child.process.join()
        raise NoAnswerError(Exit(child.process.exitcode), timeout) from None
    finally:
        child.kill()


def _send_result(function: Callable[..., Any], arguments: Sequence[Any], sender: Connection[Any, Any]) -> None:
    sender.send(function(*arguments))


class Worker:
    """A child process that evaluates the tasks of one kernel.

    ``results`` grows as they arrive; ``over`` is true when the process has ended, ``broken`` if the kernel ended it.
    """

    def __init__(self, assignment: Assignment, kernel: Mutant | CorrectKernel) -> None:
        self.kernel = kernel
        self.child = ForkedChild(run, assignment)
        self.results: list[TaskResult] = []
        self.over = self.broken = False
        self._current: Task | None = assignment.tasks[0]
        self._last_message = time.monotonic()

    def receive(self) -> None:
        """Receive one message, or the end of the process."""
        self._last_message = time.monotonic()
        try:
            message: Task | TaskResult = self.child.receiver.recv()
        except (EOFError, OSError):
            self.child.process.join()
            self._end(Verdict.CRASHED, f"The process {describe_exit(self.child.process.exitcode or 0)}.")
            return
        if isinstance(message, TaskResult):
            self.results.append(message)
        self._current = None if isinstance(message, TaskResult) else message

    def check_timeout(self) -> None:
        """Kill the process if it has sent nothing for too long."""
        if time.monotonic() - self._last_message > TIMEOUT:
            self.child.kill()
            self._end(Verdict.TIMED_OUT, f"Nothing came back for {TIMEOUT:.0f} s.")

    def _end(self, verdict: Verdict, detail: str) -> None:
        self.child.receiver.close()
        self.over = True
        if self._current is not None:
            self.broken = True
            requirement = catalogue.requirement(self._current.requirement)
            own = column(self.kernel.name, self.kernel.like, self._current.dtype).key
            result = Result(requirement.id, requirement.revision, own, verdict, detail)
            self.results.append(TaskResult(self._current, result))


Steps = Generator[Worker, None, KernelResult]
"""Yields workers, and is resumed when each has ended."""


def run_all(kernels: Sequence[Mutant | CorrectKernel], plan: Plan) -> Iterator[KernelResult]:
    """Test every kernel, ``plan.jobs`` at a time, those in torch last; yield each result when it is complete."""
    fill_cache(kernels, plan)
    waiting = deque(steps(kernel, plan) for kernel in sorted(kernels, key=_in_torch))
    running: dict[Worker, Steps] = {}
    while waiting or running:
        while waiting and len(running) < plan.jobs:
            following = waiting.popleft()
            running[next(following)] = following
        ready = wait([worker.child.receiver for worker in running], timeout=1.0)
        for worker in list(running):
            if worker.child.receiver in ready:
                worker.receive()
            else:
                worker.check_timeout()
            if worker.over:
                following = running.pop(worker)
                try:
                    running[next(following)] = following
                except StopIteration as end:
                    yield end.value


def fill_cache(kernels: Sequence[Mutant | CorrectKernel], plan: Plan) -> None:
    """Compute the reference answers that many kernels share, before any child is forked."""
    if not kernels:
        return
    resize_answer_cache(CACHE_BYTES)
    if sum(kernel.like == TORCH for kernel in kernels) >= MANY:
        # A miniature has the Convention of torch's kl_div, and so the same problems.
        tasks = assignment(CorrectKernel("miniature", "", Miniature, TORCH), plan, TestProfile.QUICK)
        miniature = replace(Miniature().implementation("miniature"), like=TORCH)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            deque(evaluate(miniature, tasks), maxlen=0)


def steps(kernel: Mutant | CorrectKernel, plan: Plan) -> Steps:
    """Test a kernel, then shrink the witness of its first detection."""
    began = time.monotonic()
    if _in_torch(kernel):
        for name in PRELOADED:  # imported once for all kernels; this process calls nothing of torch
            importlib.import_module(name)
    last = plan.profile if isinstance(kernel, Mutant) else plan.correct_profile or plan.profile
    first = TestProfile.QUICK if isinstance(kernel, Mutant) else last
    found = yield from _run_profile(kernel, plan, first)
    if not found.detections and first is not last:
        found = yield from _run_profile(kernel, plan, last)
    # Witnesses of chapter errors cannot be shrunk: there, the shapes are the problem.
    candidates = sorted(found.detections.values(), key=lambda each: each.task.requirement.startswith("errors/"))
    small = None
    if candidates:
        whole = assignment(kernel, plan, found.profile)
        worker = Worker(replace(whole, tasks=(candidates[0].task,), verdict_only=False), kernel)
        yield worker
        small = worker.results[0]
    return replace(found, small=small, seconds=time.monotonic() - began)


def _run_profile(kernel: Mutant | CorrectKernel, plan: Plan, profile: TestProfile) -> Steps:
    """Evaluate all tasks of a profile, in a new process after each that the kernel ended."""
    whole = assignment(kernel, plan, profile)
    left, results = tuple(whole.tasks), list[TaskResult]()
    for _ in range(MAX_PROCESSES):
        worker = Worker(replace(whole, tasks=left), kernel)
        yield worker
        results += worker.results
        left = left[left.index(results[-1].task) + 1 :] if results else ()
        if not (worker.broken and left):
            break
    return KernelResult(kernel, tuple(results), profile)


def assignment(kernel: Mutant | CorrectKernel, plan: Plan, profile: TestProfile) -> Assignment:
    """Return the tasks of a kernel: every requirement in every dtype that it supports."""
    is_mutant = isinstance(kernel, Mutant)
    supported = loading.implementation(kernel.like).dtypes
    tasks = tuple(
        Task(dtype, requirement)
        for dtype in plan.dtypes
        if Dtype.named(dtype) in supported
        for requirement in catalogue.REQUIREMENTS
    )
    seeds = plan.seeds[:1] if is_mutant else plan.seeds
    return Assignment(kernel.name, tasks, profile, seeds, enough=ENOUGH if is_mutant else 0)


def _in_torch(kernel: Mutant | CorrectKernel) -> bool:
    return loading.implementation(kernel.like).framework == "torch"
