"""Subject: one column (implementation × dtype × mode × device), loaded and callable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
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
from kl_conformance.judging.cache import Cache, cached, lru_cache, reference, reference_gradient
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation, ShapeMismatch, WrongShapeError
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
        The implementation, its framework, and the framework's modules.
    column
        The name of the column in results.
    """

    def __init__(self, implementation: Implementation, framework: Framework, modules: Modules, column: Column) -> None:
        super().__init__(implementation, Dtype.named(column.dtype))
        self.framework = framework
        self.modules = modules
        self.column = column
        self.profile = self.arithmetic(self.dtype)
        self.initial_state: dict[str, Any] = {}  # of the process, before the first call
        self.functions: Cache[Any] = lru_cache(64)  # compiled functions
        self._evaluations: Cache[Evaluation] = lru_cache(2**23, _evaluation_bytes)
        self.compiled = column.mode in framework.compiled_modes  # every call, once for each shape
        self.compiles = framework.compiles_per_shape or self.compiled
        # Whether every new shape takes seconds.
        self.slow = self.compiled and Transform.COMPILED in framework.slow_transforms
        may_compile = self.compiles or Transform.COMPILED in implementation.transforms
        self._state = heartbeat.State.COMPILING if may_compile else heartbeat.State.CALLING
        self._layout = ""  # of the problem whose call was built last

    def rotated(self, rotation: int | None) -> Subject:
        """Return this subject with a rotation of the call forms (see ``problems``); all caches are shared."""
        if rotation == self.rotation:
            return self
        other = copy(self)
        other.rotation = rotation
        return other

    def arithmetic(self, dtype: Dtype) -> Profile:
        """Return the arithmetic declared for answers in a dtype."""
        declared = self.implementation.profile
        return declared(dtype) if declared else self.framework.profile(dtype, self.column.device)

    def process_state(self) -> Mapping[str, Any]:
        """Return the settings of the process and of the library, by name."""
        return {**process_state.settings(), **self.framework.settings(self.modules)}

    def evaluate(self, problem: Problem, *, default: bool = False) -> Evaluation:
        """Evaluate one problem; ``default`` omits the reduction argument. The result is cached.

        Raises
        ------
        RefusedError
            The implementation raised, or returned no tensor.
        """
        key = ("value", problem.id, default)
        return cached(self._evaluations, key, lambda: self._evaluate(problem, default))

    def clear_cache(self) -> None:
        """Remove every cached evaluation: the next one calls the implementation."""
        self._evaluations.clear()

    def _evaluate(self, problem: Problem, default: bool) -> Evaluation:
        call = self.build_call(problem, default=default)
        return self.judged(problem, self.invoke(call), self.describe(call))

    def gradient(
        self, problem: Problem, side: Side, kind: UpstreamKind = UpstreamKind.ONES, layout: str = "contiguous"
    ) -> Evaluation:
        """Evaluate the gradient with respect to one side, in the space in which that side is realised.

        The upstream gradient of that kind is rounded to the column's dtype and has that memory layout. The result is
        cached.
        """
        upstream = Upstream(kind, layout)
        key = ("gradient", problem.id, side, upstream)
        return cached(self._evaluations, key, lambda: self._gradient(problem, side, upstream))

    def _gradient(self, problem: Problem, side: Side, upstream: Upstream) -> Evaluation:
        call, values = self.build_call(problem), upstream.values(problem)
        exact, tensor = (None, None) if values is None else self.as_tensor(values, upstream.layout)
        heartbeat.record_call(lambda: f"gradient by the {side.value} of {self._call_text(call)}")
        output = self.collect_output(lambda: self._differentiate(call, problem, side, tensor))
        description = self.describe(call).differentiated(side, upstream)
        return self.judged(problem, output, description, lambda other: reference_gradient(other, side, exact))

    def upstream_after_backward(self, problem: Problem, side: Side, upstream: Array) -> tuple[Array, Array]:
        """Return an upstream gradient as it was passed, and as it is after the backward pass."""
        call = self.build_call(problem)
        exact, tensor = self.as_tensor(upstream)
        self.collect_output(lambda: self._differentiate(call, problem, side, tensor))
        return exact, self.framework.output(self.modules, tensor).values

    def _differentiate(self, call: Call, problem: Problem, side: Side, upstream: Any) -> Any:
        custom = self.implementation.gradient
        if custom is not None:
            return custom(self.modules, call, side, upstream)
        value, (operand,) = self.function(call, problem, side)
        return self.framework.differentiate(self.modules, value, operand, upstream)

    def as_tensor(self, values: Array, layout: str = "contiguous") -> tuple[Array, Any]:
        """Return numbers rounded to the column's dtype, as an array and as a tensor in a memory layout."""
        operand = Operand(self.dtype.round(values), Space.LOG, self.dtype)
        tensor = self.framework.tensor(self.modules, operand, self.column.device, layout)
        return operand.values.astype(np.float64), tensor

    def function(self, call: Call, problem: Problem, *sides: Side) -> tuple[Callable[..., Any], list[Any]]:
        """Return a call as a function of the tensors of some sides (logits converted if needed), and these tensors."""

        def value(*tensors: Any) -> Any:
            changed = call
            for side, tensor in zip(sides, tensors, strict=True):
                changed = _with(changed, side, self._converted(tensor, problem.side(side).space, side))
            return self.implementation.call(self.modules, changed)

        return value, [self._tensor(problem, side) for side in sides]

    def build_call(self, problem: Problem, *, default: bool = False, reduction: str | None = None) -> Call:
        """Build the call that evaluates a problem, with logits converted by log_softmax if needed."""
        name = reduction or self.convention.named(problem.reduction)
        sides = {side: self._converted(self._tensor(problem, side), problem.side(side).space, side) for side in Side}
        omitted = default or (reduction is None and len(self.convention.reductions) == 1)
        documented = self.convention.axis
        rank = max(problem.target.values.ndim, problem.model.values.ndim, 1)
        is_default = documented is not None and (documented - problem.axis) % rank == 0
        call = Call(
            target=sides[Side.TARGET],
            model=sides[Side.MODEL],
            target_space=self._accepted(problem.target.space, Side.TARGET),
            model_space=self._accepted(problem.model.space, Side.MODEL),
            reduction=None if omitted else name,
            axis=None if documented is None or is_default else problem.axis,
            dtype=self.dtype,
            order=self.convention.order,
        )
        self._layout = problem.layout
        heartbeat.record_call(lambda: self._call_text(call))
        return call

    def invoke(self, call: Call, last: int = 0) -> Output:
        """Make a call and return its output; with ``last``, only so many last entries of an answer that has axes.

        Raises
        ------
        RefusedError
            The implementation raised, or returned no tensor.
        """

        def make() -> Any:
            answer = self.implementation.call(self.modules, call)
            return answer[-last:] if last and len(answer.shape) else answer

        heartbeat.record_call(lambda: self._call_text(call))
        return self.collect_output(make)

    def pieces(self, call: Call, rows: int, expected: tuple[int, ...]) -> Iterator[tuple[int, Array]]:
        """Make a call and yield its output in pieces of so many rows, each with the number of its first row.

        Raises
        ------
        RefusedError
            The implementation raised, or returned no tensor.
        WrongShapeError
            The output has another shape than ``expected``.
        """
        answers: list[Any] = []

        def make() -> Any:
            answer = self.implementation.call(self.modules, call)
            answers.append(answer)
            return answer[:rows] if _shape(answer) == expected else answer

        heartbeat.record_call(lambda: self._call_text(call))
        first = self.collect_output(make).values
        answer = answers[0]
        if _shape(answer) != expected:
            raise WrongShapeError(self.describe(call), ShapeMismatch(first.shape, expected))
        yield 0, first
        for start in range(rows, expected[0], rows):
            yield start, self.collect_output(partial(answer.__getitem__, slice(start, start + rows))).values

    def collect_output(self, make: Callable[[], Any]) -> Output:
        """Return the output of a function that calls the implementation.

        Raises
        ------
        RefusedError
            The implementation raised, or returned no tensor.
        """
        if not self.initial_state:
            self.initial_state.update(self.process_state())
        try:
            with self.framework.mode_context(self.modules, self.column.mode), heartbeat.calling(self._state):
                return self.framework.output(self.modules, make())
        except AbsentError:  # missing on this machine: not a failure of the implementation
            raise
        except MisgivenError as error:
            raise RefusedError(str(error)) from error
        except (Exception, SystemExit) as error:  # an implementation may raise anything
            raised = Raised(type(error).__name__, _message(error))
            raise RefusedError(f"raised {raised.type}: {raised.message}", raised) from error

    @property
    def named(self) -> CallDescription:
        """The description of a failure that belongs to no single call."""
        return CallDescription(self.implementation.name)

    def describe(self, call: Call) -> CallDescription:
        """Return the description of a call; with two target spaces, ``log_target`` is an argument as well."""
        name = self.implementation.name
        spaces = {Side.TARGET: call.target_space, Side.MODEL: call.model_space}
        keywords = {name: repr(value) for name, value in call.keywords.items()}
        arguments = {side.value: space.value for side, space in spaces.items()} | keywords
        text = f"{name}({', '.join(f'{each}={value}' for each, value in arguments.items())})"
        if len(self.convention.target) > 1:
            keywords["log_target"] = repr(call.log_target)
        return CallDescription(text, name, keywords, spaces, call.order)

    def _call_text(self, call: Call) -> str:
        """Return a call and the shapes of its tensors on one line, for the heartbeat file."""
        shapes = (str([*getattr(each, "shape", ())]) for each in (call.target, call.model))
        layout = "" if self._layout == "contiguous" else f", {self._layout}"
        return f"{self.describe(call).text} of shapes {' and '.join(shapes)} in {call.dtype.label}{layout}"

    def judged(
        self,
        problem: Problem,
        output: Output,
        call: CallDescription,
        solve: Callable[[Problem], Enclosure] | None = None,
        profile: Profile | None = None,
    ) -> Evaluation:
        """Return an output with the correct answer and the tolerance.

        ``solve`` replaces the reference's answer, ``profile`` the arithmetic declared for the column.
        """
        solve, profile = solve or reference, profile or self.profile
        enclosure = solve(problem)
        allowed = tolerance(problem, enclosure, profile)
        return Evaluation(problem, output.values, output.dtype, enclosure, allowed, profile, call, solve)

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

    def _converted(self, tensor: Any, space: Space, side: Side) -> Any:
        """Return a tensor, logits converted by the framework's log_softmax if the implementation accepts none."""
        if self._accepted(space, side) is space:
            return tensor
        with self.framework.mode_context(self.modules, self.column.mode):
            return self.framework.log_softmax(self.modules, tensor)


def _evaluation_bytes(evaluation: Evaluation) -> int:
    return 8 * evaluation.returned.nbytes + 4000


def _shape(answer: Any) -> tuple[int, ...]:
    return tuple(getattr(answer, "shape", ()))


def _message(error: BaseException) -> str:
    """Return the message of an exception, on one line."""
    try:
        return " ".join(str(error).split())[:200]
    except Exception:  # the message is computed by the implementation's code
        return "(its message cannot be computed)"


def _with(call: Call, side: Side, tensor: Any) -> Call:
    """Return the call with one side's tensor replaced."""
    return replace(call, target=tensor) if side is Side.TARGET else replace(call, model=tensor)
