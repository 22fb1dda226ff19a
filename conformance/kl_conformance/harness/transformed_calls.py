"""Calls asked in another way: by both sides at once, later, along a direction, compiled, batched, for inference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Output
from kl_conformance.frameworks.transform import Pullback, Transform
from kl_conformance.harness.subject import Subject
from kl_conformance.judging.cache import slope
from kl_conformance.judging.evaluation import Evaluation
from kl_reference.convention import Reduction, Side
from kl_reference.curvature import curvature, tangent
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array
from kl_reference.gradient import gradient
from kl_reference.problem import Problem

BOTH = (Side.TARGET, Side.MODEL)
HALVES = frozenset({Dtype.FLOAT16, Dtype.BFLOAT16})


def together(subject: Subject, problem: Problem) -> tuple[Evaluation, Evaluation]:
    """Ask for the gradients by the target and by the model at once."""
    call = subject.build_call(problem)
    kept: list[Any] = []

    def ask() -> Any:
        own = subject.implementation.custom_transforms.get(Transform.JOINT)
        if own is not None:
            kept[:] = own(subject.modules, call, None)
        else:
            function, tensors = subject.function(call, problem, *BOTH)
            kept[:] = subject.framework.gradients(subject.modules, function, tensors, None)
        return kept[0]

    first = subject.collect_output(ask)
    second = subject.collect_output(lambda: kept[1])
    target, model = (
        _gradient(subject, problem, side, got) for side, got in zip(BOTH, (first, second), strict=True)
    )
    return target, model


def _gradient(subject: Subject, problem: Problem, side: Side, got: Output) -> Evaluation:
    made = subject.describe(subject.build_call(problem)).varied(
        f", that by the {side.value}", before="gradients by both sides of ", side=side
    )
    return subject.judged(problem, got, made, lambda other: gradient(other, side))


def later(
    subject: Subject, problem: Problem, side: Side, *, again: bool = False
) -> Callable[[Array], Evaluation]:
    """Ask now, and return what asks for the gradient by a side, given an upstream one, whenever it is called.

    It may be called more than once where it is asked for ``again``.
    """
    call = subject.build_call(problem)
    function, tensors = subject.function(call, problem, side)
    own = subject.implementation.custom_transforms.get(Transform.DEFERRED)
    kept: list[Pullback] = []

    def ask() -> Any:
        if own is not None:
            kept.append(own(subject.modules, call, side))
        else:
            kept.append(subject.framework.pullback(subject.modules, function, tensors, retain=again))
        return tensors[0]

    subject.collect_output(ask)

    def backward(upstream: Array) -> Evaluation:
        exact, above = subject.as_tensor(upstream)
        got = subject.collect_output(lambda: kept[0](above)[0])
        before = f"gradient by the {side.value} of "
        made = subject.describe(call).varied(", asked for later", before=before, side=side)
        return subject.judged(problem, got, made, lambda other: gradient(other, side, exact))

    return backward


def along(subject: Subject, problem: Problem, side: Side, direction: Array) -> Evaluation:
    """Ask what the answer does, in forward mode, when one side moves along a direction."""
    call, (exact, way) = subject.build_call(problem), subject.as_tensor(direction)

    def ask() -> Any:
        own = subject.implementation.custom_transforms.get(Transform.TANGENT)
        if own is not None:
            return own(subject.modules, call, side, way)
        function, (tensor,) = subject.function(call, problem, side)
        return subject.framework.tangent(subject.modules, function, tensor, way)

    made = subject.describe(call).varied(before=f"tangent by the {side.value} of ", side=side)
    return subject.judged(
        problem, subject.collect_output(ask), made, lambda other: tangent(other, side, exact)
    )


def bent(subject: Subject, problem: Problem, side: Side, direction: Array, upstream: Array) -> Evaluation:
    """Ask what the gradient by one side does when that side moves along a direction."""
    call, (exact, way), (known, above) = (
        subject.build_call(problem),
        subject.as_tensor(direction),
        subject.as_tensor(upstream),
    )

    def ask() -> Any:
        own = subject.implementation.custom_transforms.get(Transform.CURVATURE)
        if own is not None:
            return own(subject.modules, call, side, way, above)
        function, (tensor,) = subject.function(call, problem, side)
        return subject.framework.curvature(subject.modules, function, tensor, way, above)

    made = subject.describe(call).varied(before=f"second derivative by the {side.value} of ", side=side)
    got = subject.collect_output(ask)
    return subject.judged(problem, got, made, lambda other: curvature(other, side, exact, known))


def compilers(subject: Subject) -> tuple[str, ...]:
    """Return the names of the compilers a call can be put through."""
    return (
        ("its own",)
        if Transform.COMPILED in subject.implementation.custom_transforms
        else subject.framework.compilers
    )


def compiled(subject: Subject, problem: Problem, compiler: str) -> Evaluation:
    """Ask the same call, compiled."""
    call = subject.build_call(problem)
    own = subject.implementation.custom_transforms.get(Transform.COMPILED)
    if own is not None:
        return _made(subject, problem, compiler, lambda: own(subject.modules, call))
    function = subject.functions.get(
        ("compiled", compiler, _form(call)),
        lambda: subject.framework.compiled(subject.modules, compiler, _function(subject, call)),
    )
    return _made(subject, problem, compiler, lambda: function(call.target, call.model))


def batched(subject: Subject, problem: Problem) -> Evaluation:
    """Ask every row by itself, all of them batched; a sum of a row stands for ``ROWS``."""
    call = subject.build_call(problem)
    due = replace(problem, reduction=Reduction.ROWS) if problem.reduction is Reduction.SUM else problem
    own = subject.implementation.custom_transforms.get(Transform.BATCHED)

    def ask() -> Any:
        if own is not None:
            return own(subject.modules, call)
        function = subject.functions.get(
            ("batched", _form(call)),
            lambda: subject.framework.batched(subject.modules, _function(subject, call)),
        )
        return function(call.target, call.model)

    return _made(subject, due, "batched", ask)


def per_row(subject: Subject, problem: Problem, side: Side) -> Evaluation:
    """Ask every row by itself for its gradient by a side, all of them batched."""
    call = subject.build_call(problem)
    own = subject.implementation.custom_transforms.get(Transform.PER_ROW)

    def ask() -> Any:
        if own is not None:
            return own(subject.modules, call, side)
        function, place = _function(subject, call), BOTH.index(side)
        return subject.framework.per_row_gradients(
            subject.modules, function, (call.target, call.model), place
        )

    before = f"gradient by the {side.value} of every row of "
    made = subject.describe(call).varied(", batched", before=before, side=side)
    return subject.judged(problem, subject.collect_output(ask), made, lambda other: slope(other, side, None))


def autocast(subject: Subject, problem: Problem) -> Evaluation:
    """Ask where the library chooses dtypes by itself: 16-bit operands are to be computed in float32."""
    call = subject.build_call(problem)
    own = subject.implementation.custom_transforms.get(Transform.AUTOCAST)

    def ask() -> Any:
        if own is not None:
            return own(subject.modules, call)
        with subject.framework.autocast(subject.modules, subject.column.device):
            return subject.implementation.call(subject.modules, call)

    due = Dtype.FLOAT32 if subject.dtype in HALVES else subject.dtype
    made = subject.describe(call).varied(" under autocast")
    return subject.judged(problem, subject.collect_output(ask), made, profile=subject.arithmetic(due))


def inferred(subject: Subject, problem: Problem) -> Evaluation:
    """Ask the same call where gradients are switched off."""
    call = subject.build_call(problem)
    own = subject.implementation.custom_transforms.get(Transform.INFERENCE)

    def ask() -> Any:
        if own is not None:
            return own(subject.modules, call)
        with subject.framework.inference(subject.modules):
            return subject.implementation.call(subject.modules, call)

    return _made(subject, problem, "gradients switched off", ask)


def _made(subject: Subject, problem: Problem, how: str, make: Callable[[], Any]) -> Evaluation:
    call = subject.describe(subject.build_call(problem))
    return subject.judged(problem, subject.collect_output(make), call.varied(f", {how}"))


def _form(call: Call) -> tuple[Any, ...]:
    """Return what is compiled anew, beside shapes."""
    return call.target_space, call.model_space, call.reduction, call.axis


def _function(subject: Subject, call: Call) -> Callable[..., Any]:
    """Return a call as a function of the two tensors it receives."""

    def function(target: Any, model: Any) -> Any:
        return subject.implementation.call(subject.modules, replace(call, target=target, model=model))

    return function
