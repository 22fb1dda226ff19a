"""One column, ready to be asked: problems go in, evaluations come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kl_cases.pair import Pair
from kl_conformance import note, surroundings
from kl_conformance.implementation import AbsentError, Call, Framework, Implementation, Modules, Output
from kl_conformance.remembered import Memory, reference, slope
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array, Enclosure
from kl_reference.precision import Profile, Tolerance, tolerance
from kl_reference.problem import Operand, Problem
from kl_reports.result import Column


class RefusedError(Exception):
    """The implementation raised instead of answering; the message says what it raised."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A problem, what an implementation gave for it, and what is right.

    ``side`` is set where the answer is a gradient; ``solve`` gives what is right for another problem in place
    of this one.
    """

    problem: Problem
    got: Array
    dtype: str
    enclosure: Enclosure
    tolerance: Tolerance
    profile: Profile
    call: str
    solve: Callable[[Problem], Enclosure]
    side: Side | None = None


class Subject:
    """An implementation on one device in one dtype, with its framework loaded.

    Parameters
    ----------
    implementation, framework, modules
        Who is asked, and through what.
    column
        The name of this column in results.
    """

    def __init__(
        self, implementation: Implementation, framework: Framework, modules: Modules, column: Column
    ) -> None:
        self.implementation = implementation
        self.framework = framework
        self.modules = modules
        self.column = column
        self.dtype = Dtype.named(column.dtype)
        self.profile = self.arithmetic(self.dtype)
        self.surroundings: Mapping[str, Any] = {}  # as they were before anything was asked
        self.functions: Memory[Any] = Memory(64)  # compiled, which takes longer than to ask
        self._evaluations: Memory[Evaluation] = Memory(256)
        self._realised: Memory[tuple[Pair, tuple[Operand, Operand]]] = Memory(32)
        compiles = framework.compiles or Transform.COMPILED in implementation.transforms
        self._state = note.State.COMPILING if compiles else note.State.ASKING
        self._layout = ""  # of the problem last prepared
        self.misshapen = ""  # in words, an answer of another shape than was due

    def arithmetic(self, dtype: Dtype) -> Profile:
        """Return the arithmetic declared for answers in a dtype."""
        declared = self.implementation.profile
        return declared(dtype) if declared else self.framework.profile(dtype, self.column.device)

    def surrounding(self) -> Mapping[str, Any]:
        """Return what the process and the library keep for everybody, by name."""
        return {**surroundings.settings(), **self.framework.settings(self.modules)}

    @property
    def convention(self) -> Convention:
        """What the implementation says it computes."""
        return self.implementation.convention

    @property
    def forms(self) -> tuple[tuple[Space, Space], ...]:
        """Every combination of target space and model space the implementation takes."""
        return tuple((t, m) for t in self.convention.target for m in self.convention.model)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides it can be differentiated by."""
        return tuple(side for side in Side if side in self.implementation.gradients)

    def offers(self, *reductions: Reduction) -> tuple[Reduction, ...]:
        """Return those of the given reductions (of all when none is given) that the implementation offers."""
        offered = tuple(self.convention.reductions.values())
        return tuple(each for each in offered if each in reductions) if reductions else offered

    @property
    def finest(self) -> Reduction:
        """The reduction that keeps the most: terms, else rows, else one number."""
        order = list(Reduction)
        return min(self.offers(), key=order.index)

    def problem(
        self,
        pair: Pair,
        reduction: Reduction | None = None,
        *,
        target: Space | None = None,
        model: Space | None = None,
        subnormals: bool = False,
        layout: str = "contiguous",
        mathematical: bool = False,
    ) -> Problem:
        """Realise a pair in this column's Convention and dtype.

        ``mathematical`` leaves the Convention's clip out of the answer: the definition is what must hold.
        """
        convention = self.convention
        spaces = target or convention.target[0], model or convention.model[0]
        # The pair is kept beside its operands: as long as it lives, no other has its identity.
        _, (p, q) = self._realised.get(
            (id(pair), spaces, subnormals),
            lambda: (pair, pair.realise(*spaces, self.dtype, subnormals=subnormals)),
        )
        return Problem(
            p,
            q,
            formula=convention.formula,
            reduction=reduction or self.finest,
            axis=pair.axis,
            clip=None if mathematical else convention.clip,
            normalise=convention.normalise,
            layout=layout,
        )

    def problems(
        self,
        pair: Pair,
        *reductions: Reduction,
        target: tuple[Space, ...] = tuple(Space),
        model: Space | None = None,
        subnormals: bool = False,
        layout: str = "contiguous",
    ) -> Iterator[Problem]:
        """Yield the ordinary problems a pair makes: every target space taken × every reduction offered.

        ``reductions`` narrows the reductions (to the finest when none is given), ``target`` the spaces of P;
        ``model`` asks for a space of Q other than the Convention's own. Problems with a masked class, a NaN
        or an infinity are left to the chapters that are about them, so that one fault is one row of the
        matrix.
        """
        for space in self.convention.target:
            for reduction in self.offers(*reductions) if reductions else (self.finest,):
                problem = self.problem(
                    pair, reduction, target=space, model=model, subnormals=subnormals, layout=layout
                )
                if space in target and ordinary(problem) and self.in_domain(problem):
                    yield problem

    def alike(self, problem: Problem, pair: Pair) -> Problem:
        """Return the problem that another pair makes in the same spaces, with the same reduction and layout."""
        target, model = problem.target.space, problem.model.space
        return self.problem(pair, problem.reduction, target=target, model=model, layout=problem.layout)

    def in_domain(self, problem: Problem) -> bool:
        """Whether the implementation promises anything for a target of this mass."""
        if not self.implementation.needs_distributions or problem.target.space is not Space.PROBABILITY:
            return True
        mass = problem.target.values.astype(np.float64).sum(problem.axis)
        # Rounding each of n probabilities moves their sum by at most n·u.
        return bool(np.all(np.abs(mass - 1.0) <= problem.target.values.shape[-1] * self.dtype.roundoff))

    def evaluate(self, problem: Problem, *, default: bool = False) -> Evaluation:
        """Ask one problem; ``default`` leaves the reduction unsaid.

        Raises
        ------
        RefusedError
            The implementation raised.
        """
        asked = self._evaluations.get(
            ("value", problem.id, default), lambda: self._evaluate(problem, default)
        )
        self._look(asked)
        return asked

    def forget(self) -> None:
        """Forget every answer, so that the next question is asked anew."""
        self._evaluations = Memory(256)

    def _evaluate(self, problem: Problem, default: bool) -> Evaluation:
        call = self.call(problem, default=default)
        got = self.ask(call)
        return self.judged(problem, got, self.describe(call))

    def gradient(
        self, problem: Problem, side: Side, upstream: Array | None = None, layout: str = "contiguous"
    ) -> Evaluation:
        """Ask for the gradient with respect to one side, in the space that side is realised in.

        ``upstream``, rounded to the column's dtype, arrives from above, lying in memory as ``layout`` says.
        """
        call = self.call(problem)
        text = f"gradient by the {side.value} of {self.describe(call)}"
        exact, above = (None, None) if upstream is None else self.handed(upstream, layout)
        note.say(lambda: f"gradient by the {side.value} of {self._words(call)}")
        got = self.attempt(lambda: self._differentiate(call, problem, side, above))
        asked = self.judged(problem, got, text, lambda other: slope(other, side, exact))
        return replace(asked, side=side)

    def spent(self, problem: Problem, side: Side, upstream: Array) -> tuple[Array, Array]:
        """Return an upstream gradient as it was handed over, and as it is after it has been carried through."""
        call = self.call(problem)
        exact, above = self.handed(upstream)
        self.attempt(lambda: self._differentiate(call, problem, side, above))
        return exact, self.framework.output(self.modules, above).values

    def _differentiate(self, call: Call, problem: Problem, side: Side, upstream: Any) -> Any:
        own = self.implementation.gradient
        if own is not None:
            return own(self.modules, call, side, upstream)
        value, (operand,) = self.function(call, problem, side)
        return self.framework.differentiate(self.modules, value, operand, upstream)

    def handed(self, values: Array, layout: str = "contiguous") -> tuple[Array, Any]:
        """Return numbers rounded to the column's dtype, and the same as a tensor lying in memory so."""
        operand = Operand(self.dtype.round(values), Space.LOG, self.dtype)
        tensor = self.framework.tensor(self.modules, operand, self.column.device, layout)
        return operand.values.astype(np.float64), tensor

    def function(self, call: Call, problem: Problem, *sides: Side) -> tuple[Callable[..., Any], list[Any]]:
        """Return a problem's call as a function of some sides' tensors, logits led in as ever, and those tensors."""

        def value(*tensors: Any) -> Any:
            asked = call
            for side, tensor in zip(sides, tensors, strict=True):
                asked = _with(asked, side, self._enter(tensor, problem.side(side).space, side))
            return self.implementation.call(self.modules, asked)

        return value, [self._tensor(problem, side) for side in sides]

    def call(self, problem: Problem, *, default: bool = False, reduction: str | None = None) -> Call:
        """Prepare the call that asks this problem, with logits led through log_softmax where need be."""
        name = reduction or self.convention.named(problem.reduction)
        sides = {
            side: self._enter(self._tensor(problem, side), problem.side(side).space, side) for side in Side
        }
        unsaid = default or (reduction is None and len(self.convention.reductions) == 1)
        documented = self.convention.axis
        rank = max(problem.target.values.ndim, problem.model.values.ndim, 1)
        usual = documented is not None and (documented - problem.axis) % rank == 0
        call = Call(
            target=sides[Side.TARGET],
            model=sides[Side.MODEL],
            target_space=self._accepted(problem.target.space, Side.TARGET),
            model_space=self._accepted(problem.model.space, Side.MODEL),
            reduction=None if unsaid else name,
            axis=None if documented is None or usual else problem.axis,
            dtype=self.dtype,
        )
        self._layout = problem.layout
        note.say(lambda: self._words(call))
        return call

    def ask(self, call: Call, last: int = 0) -> Output:
        """Make a call and take the answer back; of an answer with axes only the ``last`` entries, where said.

        Raises
        ------
        RefusedError
            The implementation raised.
        """

        def given() -> Any:
            answer = self.implementation.call(self.modules, call)
            return answer[-last:] if last and len(answer.shape) else answer

        note.say(lambda: self._words(call))
        return self.attempt(given)

    def attempt(self, make: Callable[[], Any]) -> Output:
        """Take back the tensor that is made.

        Raises
        ------
        RefusedError
            The implementation raised.
        """
        self.surroundings = self.surroundings or self.surrounding()
        try:
            with note.asking(self._state):
                return self.framework.output(self.modules, make())
        except AbsentError:  # the machine's lack is not the implementation's
            raise
        except (
            Exception,
            SystemExit,
        ) as error:  # an implementation may raise anything; the verdict says what
            raise RefusedError(f"{type(error).__name__}: {_message(error)}") from error

    def describe(self, call: Call) -> str:
        """Return a call as one line of text."""
        arguments = [f"target={call.target_space.value}", f"model={call.model_space.value}"]
        arguments += [f"{name}={value!r}" for name, value in call.keywords.items()]
        return f"{self.implementation.name}({', '.join(arguments)})"

    def _words(self, call: Call) -> str:
        """Return a call and the shapes handed over as one line of text, for whoever finds this process dead."""
        shapes = (str([*getattr(each, "shape", ())]) for each in (call.target, call.model))
        layout = "" if self._layout == "contiguous" else f", {self._layout}"
        return f"{self.describe(call)} of shapes {' and '.join(shapes)} in {call.dtype.label}{layout}"

    def judged(
        self,
        problem: Problem,
        got: Output,
        call: str,
        solve: Callable[[Problem], Enclosure] | None = None,
        profile: Profile | None = None,
    ) -> Evaluation:
        """Put an answer beside what is right, by the reference's answer unless ``solve`` is given.

        ``profile`` is the arithmetic due, where it is not the column's own.
        """
        solve, profile = solve or reference, profile or self.profile
        enclosure = solve(problem)
        allowed = tolerance(problem, enclosure, profile)
        asked = Evaluation(problem, got.values, got.dtype, enclosure, allowed, profile, call, solve)
        self._look(asked)
        return asked

    def _look(self, asked: Evaluation) -> None:
        due = asked.enclosure.value.shape
        if asked.got.shape != due:
            self.misshapen = f"{asked.call} gave shape {asked.got.shape} where {due} is due"

    def _tensor(self, problem: Problem, side: Side) -> Any:
        """Hand one side over as the problem's layout says: of ``offset/strided`` the model has the second."""
        own, _, other = problem.layout.partition("/")
        layout = other or own if side is Side.MODEL else own
        operand, device = problem.side(side), self.column.device
        if layout == "large":
            return self.framework.large(self.modules, operand, device)
        return self.framework.tensor(self.modules, operand, device, layout)

    def _accepted(self, space: Space, side: Side) -> Space:
        """Return the space in which the implementation receives an operand realised in ``space``."""
        spaces = self.convention.target if side is Side.TARGET else self.convention.model
        return Space.LOG if space is Space.LOGITS and space not in spaces else space

    def _enter(self, tensor: Any, space: Space, side: Side) -> Any:
        """Lead logits through the framework's log_softmax where the implementation takes none."""
        if self._accepted(space, side) is space:
            return tensor
        return self.framework.log_softmax(self.modules, tensor)


def _message(error: BaseException) -> str:
    """Return what an error says, on one line."""
    try:
        return " ".join(str(error).split())[:200]
    except Exception:  # even the words of an error are code of whoever is asked
        return "(it cannot be put into words)"


def ordinary(problem: Problem) -> bool:
    """Whether every p ≥ 0 and q > 0 is finite, and every logarithm and logit."""

    def fine(operand: Operand, least: float) -> bool:
        values = operand.values
        if not np.isfinite(values).all():
            return False
        return operand.space is not Space.PROBABILITY or bool((values >= least).all())

    return fine(problem.target, 0.0) and fine(problem.model, problem.model.dtype.least_subnormal)


def _with(call: Call, side: Side, tensor: Any) -> Call:
    """Return the call with one side's tensor replaced."""
    return replace(call, target=tensor) if side is Side.TARGET else replace(call, model=tensor)
