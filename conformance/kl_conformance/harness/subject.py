"""One column, ready to be asked: problems go in, evaluations come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kl_cases.layouts import side_layouts
from kl_conformance.errors import AbsentError, MisgivenError, Raised, RefusedError
from kl_conformance.frameworks import process_state
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework, Modules, Output
from kl_conformance.frameworks.transform import Transform
from kl_conformance.harness import heartbeat
from kl_conformance.harness.problems import ProblemBuilder
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging.cache import Memory, reference, slope
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation, Misshapen
from kl_conformance.judging.upstream import Upstream, UpstreamKind
from kl_reference.convention import Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array, Enclosure
from kl_reference.problem import Operand, Problem
from kl_reference.tolerance import Profile, tolerance
from kl_reports.runfile.records import Column


class Subject(ProblemBuilder):
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
        super().__init__(implementation, Dtype.named(column.dtype))
        self.framework = framework
        self.modules = modules
        self.column = column
        self.profile = self.arithmetic(self.dtype)
        self.surroundings: Mapping[str, Any] = {}  # as they were before anything was asked
        self.functions: Memory[Any] = Memory(64)  # compiled, which takes longer than to ask
        self._evaluations = _memory()
        self.compiled = column.mode in framework.compiled_modes  # every call, once for each shape
        self.compiles = framework.compiles_per_shape or self.compiled
        self.slow = (
            self.compiled and Transform.COMPILED in framework.slow_transforms
        )  # seconds for every new shape
        patient = self.compiles or Transform.COMPILED in implementation.transforms
        self._state = heartbeat.State.COMPILING if patient else heartbeat.State.CALLING
        self._layout = ""  # of the problem last prepared
        self.misshapen: list[tuple[CallDescription, Misshapen]] = []  # answers of wrong shapes

    def arithmetic(self, dtype: Dtype) -> Profile:
        """Return the arithmetic declared for answers in a dtype."""
        declared = self.implementation.profile
        return declared(dtype) if declared else self.framework.profile(dtype, self.column.device)

    def process_state(self) -> Mapping[str, Any]:
        """Return what the process and the library keep for everybody, by name."""
        return {**process_state.settings(), **self.framework.settings(self.modules)}

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

    def clear_cache(self) -> None:
        """Forget every answer, so that the next question is asked anew."""
        self._evaluations = _memory()

    def _evaluate(self, problem: Problem, default: bool) -> Evaluation:
        call = self.build_call(problem, default=default)
        got = self.invoke(call)
        return self.judged(problem, got, self.describe(call))

    def gradient(
        self, problem: Problem, side: Side, kind: UpstreamKind = UpstreamKind.ONES, layout: str = "contiguous"
    ) -> Evaluation:
        """Evaluate the gradient by one side, in the space that side is realised in.

        The upstream gradient of that kind is rounded to the column's dtype and lies in memory in that layout. The
        result is kept until :meth:`forget`.
        """
        upstream = Upstream(kind, layout)
        key = ("gradient", problem.id, side, upstream)
        asked = self._evaluations.get(key, lambda: self._gradient(problem, side, upstream))
        self._look(asked)
        return asked

    def _gradient(self, problem: Problem, side: Side, upstream: Upstream) -> Evaluation:
        call, values = self.build_call(problem), upstream.values(problem)
        exact, above = (None, None) if values is None else self.as_tensor(values, upstream.layout)
        heartbeat.record_call(lambda: f"gradient by the {side.value} of {self._words(call)}")
        got = self.collect_output(lambda: self._differentiate(call, problem, side, above))
        text = self.describe(call).differentiated(side, upstream)
        return self.judged(problem, got, text, lambda other: slope(other, side, exact))

    def upstream_after_backward(self, problem: Problem, side: Side, upstream: Array) -> tuple[Array, Array]:
        """Return an upstream gradient as it was handed over, and as it is after it has been carried through."""
        call = self.build_call(problem)
        exact, above = self.as_tensor(upstream)
        self.collect_output(lambda: self._differentiate(call, problem, side, above))
        return exact, self.framework.output(self.modules, above).values

    def _differentiate(self, call: Call, problem: Problem, side: Side, upstream: Any) -> Any:
        own = self.implementation.gradient
        if own is not None:
            return own(self.modules, call, side, upstream)
        value, (operand,) = self.function(call, problem, side)
        return self.framework.differentiate(self.modules, value, operand, upstream)

    def as_tensor(self, values: Array, layout: str = "contiguous") -> tuple[Array, Any]:
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

    def build_call(self, problem: Problem, *, default: bool = False, reduction: str | None = None) -> Call:
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
            order=self.convention.order,
        )
        self._layout = problem.layout
        heartbeat.record_call(lambda: self._words(call))
        return call

    def invoke(self, call: Call, last: int = 0) -> Output:
        """Make a call and take the answer back; of an answer with axes only the ``last`` entries, where said.

        Raises
        ------
        RefusedError
            The implementation raised.
        """

        def given() -> Any:
            answer = self.implementation.call(self.modules, call)
            return answer[-last:] if last and len(answer.shape) else answer

        heartbeat.record_call(lambda: self._words(call))
        return self.collect_output(given)

    def pieces(self, call: Call, rows: int) -> Iterator[tuple[int, Array]]:
        """Make a call, and take the answer back so many rows at a time, each piece with the number of its first.

        Raises
        ------
        RefusedError
            The implementation raised.
        """
        kept: list[Any] = []

        def first() -> Any:
            kept.append(self.implementation.call(self.modules, call))
            return kept[0][:rows]

        heartbeat.record_call(lambda: self._words(call))
        yield 0, self.collect_output(first).values
        for start in range(rows, len(kept[0]), rows):
            yield start, self.collect_output(partial(kept[0].__getitem__, slice(start, start + rows))).values

    def collect_output(self, make: Callable[[], Any]) -> Output:
        """Take back the tensor that is made.

        Raises
        ------
        RefusedError
            The implementation raised.
        """
        self.surroundings = self.surroundings or self.process_state()
        try:
            with self.framework.mode_context(self.modules, self.column.mode), heartbeat.calling(self._state):
                return self.framework.output(self.modules, make())
        except AbsentError:  # the machine's lack is not the implementation's
            raise
        except MisgivenError as error:
            raise RefusedError(str(error)) from error
        except (
            Exception,
            SystemExit,
        ) as error:  # an implementation may raise anything; the verdict says what
            raised = Raised(type(error).__name__, _message(error))
            raise RefusedError(f"raised {raised.type}: {raised.message}", raised) from error

    @property
    def named(self) -> CallDescription:
        """The description of calls of which no single one is known to be at fault."""
        return CallDescription(self.implementation.name)

    def describe(self, call: Call) -> CallDescription:
        """Return the description of a call: of one with two target spaces, ``log_target`` is an argument as well."""
        name, spaces = (
            self.implementation.name,
            {Side.TARGET: call.target_space, Side.MODEL: call.model_space},
        )
        keywords = {name: repr(value) for name, value in call.keywords.items()}
        arguments = {side.value: space.value for side, space in spaces.items()} | keywords
        text = f"{name}({', '.join(f'{each}={value}' for each, value in arguments.items())})"
        if len(self.convention.target) > 1:
            keywords["log_target"] = repr(call.log_target)
        return CallDescription(text, name, keywords, spaces, call.order)

    def _words(self, call: Call) -> str:
        """Return a call and the shapes handed over as one line of text, for whoever finds this process dead."""
        shapes = (str([*getattr(each, "shape", ())]) for each in (call.target, call.model))
        layout = "" if self._layout == "contiguous" else f", {self._layout}"
        return f"{self.describe(call).text} of shapes {' and '.join(shapes)} in {call.dtype.label}{layout}"

    def judged(
        self,
        problem: Problem,
        got: Output,
        call: CallDescription,
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
        if asked.misshapen is not None:
            self.misshapen.append((asked.call, asked.misshapen))

    def _tensor(self, problem: Problem, side: Side) -> Any:
        """Return one side as a tensor in its layout."""
        layout = side_layouts(problem.layout)[side]
        operand, device = problem.side(side), self.column.device
        if layout == "large":
            return self.framework.large_tensor(self.modules, operand, device)
        return self.framework.tensor(self.modules, operand, device, layout)

    def _accepted(self, space: Space, side: Side) -> Space:
        """Return the space in which the implementation receives an operand realised in ``space``."""
        spaces = self.convention.target if side is Side.TARGET else self.convention.model
        return Space.LOG if space is Space.LOGITS and space not in spaces else space

    def _enter(self, tensor: Any, space: Space, side: Side) -> Any:
        """Lead logits through the framework's log_softmax where the implementation takes none."""
        if self._accepted(space, side) is space:
            return tensor
        with self.framework.mode_context(self.modules, self.column.mode):
            return self.framework.log_softmax(self.modules, tensor)


def _memory() -> Memory[Evaluation]:
    """Return room for the answers to the many small problems that several requirements ask alike."""
    return Memory(2**23, lambda asked: 8 * asked.got.nbytes + 4000)


def _message(error: BaseException) -> str:
    """Return what an error says, on one line."""
    try:
        return " ".join(str(error).split())[:200]
    except Exception:  # even the words of an error are code of whoever is asked
        return "(it cannot be put into words)"


def _with(call: Call, side: Side, tensor: Any) -> Call:
    """Return the call with one side's tensor replaced."""
    return replace(call, target=tensor) if side is Side.TARGET else replace(call, model=tensor)
