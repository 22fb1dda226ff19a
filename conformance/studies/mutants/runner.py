"""Kernels tried each in a process of its own, a few at a time: one may crash, hang or change all it can reach."""

from __future__ import annotations

import importlib
import multiprocessing
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait

from kl_cases.recipes import TestProfile
from kl_conformance import catalogue, registry
from kl_conformance.host import ending
from kl_conformance.remembered import remember
from kl_conformance.sketch import Sketch
from kl_reference.dtype import Dtype
from kl_reports.result import Result, Verdict
from studies.mutants.kernel import Right, Wrong
from studies.mutants.worker import BINDING, Answer, Charge, Question, asked, column, testify

PATIENCE = 120.0  # seconds of silence after which a kernel hangs: one cell may compile for many shapes
TORCH = "torch.nn.functional.kl_div"
LOADED = ("torch", "torch.fx.experimental.symbolic_shapes")  # the latter by the first gradient
ENDS = 3  # processes that a kernel may bring down before it is asked no more
ENOUGH = 2  # requirements that make further dtypes needless
MANY = 8  # kernels alike that make it worth while to compute the reference's answers before they are tried
KEPT = 2**40  # bytes of answers kept for all of them: every one


@dataclass(frozen=True, slots=True)
class Plan:
    """What every kernel is asked.

    Parameters
    ----------
    profile, seeds
        How much is asked; a wrong kernel meets the first seed's search, a right one each. A wrong kernel is asked
        ``quick`` first, and no more where that stops it.
    right
        The profile that right kernels are asked in; ``profile`` where None.
    dtypes
        Names; those a kernel does not take are left out, those after the one in which two requirements
        have stopped a wrong kernel, and those after the second where one has.
    jobs
        How many kernels are tried at a time.
    """

    profile: TestProfile
    seeds: tuple[int, ...]
    dtypes: tuple[str, ...]
    jobs: int = 2
    right: TestProfile | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of one kernel.

    Parameters
    ----------
    kernel
        Who was tried.
    answers
        Every cell that was settled.
    small
        The first cell that stopped it, its witness made small; None where nothing did.
    profile
        What was asked last.
    seconds
        Time it took.
    """

    kernel: Wrong | Right
    answers: tuple[Answer, ...]
    profile: TestProfile
    small: Answer | None = None
    seconds: float = 0.0

    @property
    def stops(self) -> dict[str, Answer]:
        """The answers that stopped the kernel, by requirement."""
        found: dict[str, Answer] = {}
        for each in self.answers:
            name = each.question.requirement
            if each.result.verdict.is_news and catalogue.requirement(name).level in BINDING:
                found.setdefault(name, each)
        return found

    @property
    def mistakes(self) -> list[Answer]:
        """Where the suite itself went wrong."""
        return [each for each in self.answers if each.mistake]

    @property
    def numbers(self) -> int | None:
        """How many numbers a side the small witness has."""
        if self.small is None or self.small.result.witness is None:
            return None
        return max(len(self.small.result.witness[side]["bits"]) for side in ("target", "model"))


class Hearing:
    """One process that is asked about one kernel.

    ``answers`` grows as they come; ``over`` says that no more will, and ``broken`` that the kernel ended it.
    """

    def __init__(self, charge: Charge, kernel: Wrong | Right) -> None:
        # What is loaded here serves them all: nothing that has started a thread, which a fork would lose.
        context = multiprocessing.get_context("fork")
        self.kernel = kernel
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=testify, args=(charge, sender))
        self.process.start()
        sender.close()
        self.answers: list[Answer] = []
        self.over = self.broken = False
        self._at: Question | None = charge.questions[0]
        self._heard = time.monotonic()

    def hear(self) -> None:
        """Take in what has come, or that nothing will come any more."""
        self._heard = time.monotonic()
        try:
            heard: Question | Answer = self.receiver.recv()
        except (EOFError, OSError):
            self.process.join()
            self._end(Verdict.CRASHED, f"The process {ending(self.process.exitcode or 0)}.")
            return
        if isinstance(heard, Answer):
            self.answers.append(heard)
        self._at = None if isinstance(heard, Answer) else heard

    def look(self) -> None:
        """End what has been silent for too long."""
        if time.monotonic() - self._heard > PATIENCE:
            self.process.kill()
            self.process.join()
            self._end(Verdict.TIMED_OUT, f"Nothing came back for {PATIENCE:.0f} s.")

    def _end(self, verdict: Verdict, detail: str) -> None:
        self.receiver.close()
        self.over = True
        if self._at is not None:
            self.broken = True
            requirement = catalogue.requirement(self._at.requirement)
            own = column(self.kernel.name, self.kernel.like, self._at.dtype).key
            result = Result(requirement.id, requirement.revision, own, verdict, detail)
            self.answers.append(Answer(self._at, result))


Trial = Generator[Hearing, None, Ruling]
"""Yields hearings, and is resumed when each is over."""


def rulings(kernels: Sequence[Wrong | Right], plan: Plan) -> Iterator[Ruling]:
    """Try every kernel, some at a time, those in torch last, and yield the rulings as they fall."""
    prepare(kernels, plan)
    waiting = deque(trial(kernel, plan) for kernel in sorted(kernels, key=_in_torch))
    going: dict[Hearing, Trial] = {}
    while waiting or going:
        while waiting and len(going) < plan.jobs:
            following = waiting.popleft()
            going[next(following)] = following
        ready = wait([hearing.receiver for hearing in going], timeout=1.0)
        for hearing in list(going):
            if hearing.receiver in ready:
                hearing.hear()
            else:
                hearing.look()
            if hearing.over:
                following = going.pop(hearing)
                try:
                    going[next(following)] = following
                except StopIteration as end:
                    yield end.value


def prepare(kernels: Sequence[Wrong | Right], plan: Plan) -> None:
    """Compute the reference's answers that many kernels will be held against."""
    if not kernels:
        return
    remember(KEPT)
    if sum(kernel.like == TORCH for kernel in kernels) >= MANY:
        # A sketch has the Convention of torch's kl_div, and so the same problems.
        charge = charged(Right("sketch", "", Sketch, TORCH), plan, TestProfile.QUICK)
        sketch = replace(Sketch().implementation("sketch"), like=TORCH)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            deque(asked(sketch, charge), maxlen=0)


def trial(kernel: Wrong | Right, plan: Plan) -> Trial:
    """Ask a kernel everything, and then for a small witness of what stopped it first."""
    began = time.monotonic()
    if _in_torch(kernel):
        for name in LOADED:  # once, for all of them: nothing is asked of torch here
            importlib.import_module(name)
    last = plan.profile if isinstance(kernel, Wrong) else plan.right or plan.profile
    first = TestProfile.QUICK if isinstance(kernel, Wrong) else last
    ruling = yield from _ruled(kernel, plan, first)
    if not ruling.stops and first is not last:
        ruling = yield from _ruled(kernel, plan, last)
    # In chapter errors the shapes are the question, and no witness is small.
    telling = sorted(ruling.stops.values(), key=lambda stop: stop.question.requirement.startswith("errors/"))
    small = None
    if telling:
        charge = charged(kernel, plan, ruling.profile)
        hearing = Hearing(replace(charge, questions=(telling[0].question,), brief=False), kernel)
        yield hearing
        small = hearing.answers[0]
    return replace(ruling, small=small, seconds=time.monotonic() - began)


def _ruled(kernel: Wrong | Right, plan: Plan, profile: TestProfile) -> Trial:
    """Ask everything a profile holds, in a new process where the kernel has brought one down."""
    charge = charged(kernel, plan, profile)
    left, answers = tuple(charge.questions), list[Answer]()
    for _ in range(ENDS):
        hearing = Hearing(replace(charge, questions=left), kernel)
        yield hearing
        answers += hearing.answers
        left = left[left.index(answers[-1].question) + 1 :] if answers else ()
        if not (hearing.broken and left):
            break
    return Ruling(kernel, tuple(answers), profile)


def charged(kernel: Wrong | Right, plan: Plan, profile: TestProfile) -> Charge:
    """Return what a kernel may be asked: every requirement in every dtype it takes."""
    wrong = isinstance(kernel, Wrong)
    taken = registry.implementation(kernel.like).dtypes
    questions = tuple(
        Question(dtype, requirement)
        for dtype in plan.dtypes
        if Dtype.named(dtype) in taken
        for requirement in catalogue.REQUIREMENTS
    )
    seeds = plan.seeds[:1] if wrong else plan.seeds
    return Charge(kernel.name, questions, profile, seeds, enough=ENOUGH if wrong else 0)


def _in_torch(kernel: Wrong | Right) -> bool:
    return registry.implementation(kernel.like).framework == "torch"
