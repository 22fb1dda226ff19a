"""Calls in other forms: VJP, JVP, compiled, batched, no-grad."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Output
from kl_conformance.frameworks.transform import Pullback, Transform
from kl_conformance.harness.subject import Subject
from kl_conformance.judging.cache import cached, reference_gradient
from kl_conformance.judging.evaluation import Evaluation
from kl_reference.convention import Reduction, Side
from kl_reference.curvature import curvature, tangent
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array
from kl_reference.gradient import gradient
from kl_reference.problem import Problem

BOTH = (Side.TARGET, Side.MODEL)
HALVES = frozenset({Dtype.FLOAT16, Dtype.BFLOAT16})


def joint_gradients(subject: Subject, problem: Problem) -> tuple[Evaluation, Evaluation]:
    """Evaluate the gradients with respect to target and model in one backward pass."""
    call = subject.build_call(problem)
    custom = subject.implementation.custom_transforms.get(Transform.JOINT)
    gradients: list[Any] = []

    def make() -> Any:
        if custom is not None:
            gradients[:] = custom(subject.modules, call, None)
        else:
            function, tensors = subject.function(call, problem, *BOTH)
            gradients[:] = subject.framework.gradients(subject.modules, function, tensors, None)
        return gradients[0]

    first = subject.collect_output(make)
    second = subject.collect_output(lambda: gradients[1])
    target, model = (
        _gradient(subject, problem, side, output) for side, output in zip(BOTH, (first, second), strict=True)
    )
    return target, model


def _gradient(subject: Subject, problem: Problem, side: Side, output: Output) -> Evaluation:
    description = subject.describe(subject.build_call(problem)).varied(
        f", that by the {side.value}", before="gradients by both sides of ", side=side
    )
    return subject.judged(problem, output, description, lambda other: gradient(other, side))


def deferred_gradient(
    subject: Subject, problem: Problem, side: Side, *, again: bool = False
) -> Callable[[Array], Evaluation]:
    """Make the call, and return a function that runs its backward pass for an upstream gradient.

    That function may be called more than once if ``again`` is true.
    """
    call = subject.build_call(problem)
    function, tensors = subject.function(call, problem, side)
    custom = subject.implementation.custom_transforms.get(Transform.DEFERRED)
    pullbacks: list[Pullback] = []

    def make() -> Any:
        if custom is not None:
            pullbacks.append(custom(subject.modules, call, side))
        else:
            pullbacks.append(subject.framework.pullback(subject.modules, function, tensors, retain=again))
        return tensors[0]

    subject.collect_output(make)

    def backward(upstream: Array) -> Evaluation:
        exact, tensor = subject.as_tensor(upstream)
        output = subject.collect_output(lambda: pullbacks[0](tensor)[0])
        before = f"gradient by the {side.value} of "
        description = subject.describe(call).varied(", in a later backward pass", before=before, side=side)
        return subject.judged(problem, output, description, lambda other: gradient(other, side, exact))

    return backward


def directional_derivative(subject: Subject, problem: Problem, side: Side, direction: Array) -> Evaluation:
    """Evaluate the directional derivative of the answer with respect to one side, in forward mode."""
    call, (exact, tangents) = subject.build_call(problem), subject.as_tensor(direction)

    def make() -> Any:
        custom = subject.implementation.custom_transforms.get(Transform.TANGENT)
        if custom is not None:
            return custom(subject.modules, call, side, tangents)
        function, (tensor,) = subject.function(call, problem, side)
        return subject.framework.tangent(subject.modules, function, tensor, tangents)

    description = subject.describe(call).varied(before=f"tangent by the {side.value} of ", side=side)
    return subject.judged(problem, subject.collect_output(make), description, lambda other: tangent(other, side, exact))


def directional_second_derivative(
    subject: Subject, problem: Problem, side: Side, direction: Array, upstream: Array
) -> Evaluation:
    """Evaluate the directional derivative of the gradient with respect to one side."""
    call, (exact, tangents), (exact_upstream, cotangents) = (
        subject.build_call(problem),
        subject.as_tensor(direction),
        subject.as_tensor(upstream),
    )

    def make() -> Any:
        custom = subject.implementation.custom_transforms.get(Transform.CURVATURE)
        if custom is not None:
            return custom(subject.modules, call, side, tangents, cotangents)
        function, (tensor,) = subject.function(call, problem, side)
        return subject.framework.curvature(subject.modules, function, tensor, tangents, cotangents)

    description = subject.describe(call).varied(before=f"second derivative by the {side.value} of ", side=side)
    output = subject.collect_output(make)
    return subject.judged(problem, output, description, lambda other: curvature(other, side, exact, exact_upstream))


def compilers(subject: Subject) -> tuple[str, ...]:
    """Return the names of the compilers that can compile a call."""
    return (
        ("its own",) if Transform.COMPILED in subject.implementation.custom_transforms else subject.framework.compilers
    )


def compiled(subject: Subject, problem: Problem, compiler: str) -> Evaluation:
    """Evaluate the same call, compiled."""
    call = subject.build_call(problem)
    custom = subject.implementation.custom_transforms.get(Transform.COMPILED)
    if custom is not None:
        return _evaluated(subject, problem, compiler, lambda: custom(subject.modules, call))
    function = cached(
        subject.functions,
        ("compiled", compiler, _form(call)),
        lambda: subject.framework.compiled(subject.modules, compiler, _function(subject, call)),
    )
    return _evaluated(subject, problem, compiler, lambda: function(call.target, call.model))


def batched(subject: Subject, problem: Problem) -> Evaluation:
    """Evaluate the call for one row, batched over all rows; the sum of a row is ``ROWS``."""
    call = subject.build_call(problem)
    expected = replace(problem, reduction=Reduction.ROWS) if problem.reduction is Reduction.SUM else problem
    custom = subject.implementation.custom_transforms.get(Transform.BATCHED)

    def make() -> Any:
        if custom is not None:
            return custom(subject.modules, call)
        function = cached(
            subject.functions,
            ("batched", _form(call)),
            lambda: subject.framework.batched(subject.modules, _function(subject, call)),
        )
        return function(call.target, call.model)

    return _evaluated(subject, expected, "batched", make)


def row_gradients(subject: Subject, problem: Problem, side: Side) -> Evaluation:
    """Evaluate the gradient of one row with respect to a side, batched over all rows."""
    call = subject.build_call(problem)
    custom = subject.implementation.custom_transforms.get(Transform.PER_ROW)

    def make() -> Any:
        if custom is not None:
            return custom(subject.modules, call, side)
        function, place = _function(subject, call), BOTH.index(side)
        return subject.framework.per_row_gradients(subject.modules, function, (call.target, call.model), place)

    before = f"gradient by the {side.value} of every row of "
    description = subject.describe(call).varied(", batched", before=before, side=side)
    return subject.judged(
        problem, subject.collect_output(make), description, lambda other: reference_gradient(other, side, None)
    )


def autocast(subject: Subject, problem: Problem) -> Evaluation:
    """Evaluate the call under autocast; 16-bit operands are expected to be computed in float32."""
    call = subject.build_call(problem)
    custom = subject.implementation.custom_transforms.get(Transform.AUTOCAST)

    def make() -> Any:
        if custom is not None:
            return custom(subject.modules, call)
        with subject.framework.autocast(subject.modules, subject.column.device):
            return subject.implementation.call(subject.modules, call)

    expected = Dtype.FLOAT32 if subject.dtype in HALVES else subject.dtype
    description = subject.describe(call).varied(" under autocast")
    return subject.judged(problem, subject.collect_output(make), description, profile=subject.arithmetic(expected))


def without_gradients(subject: Subject, problem: Problem) -> Evaluation:
    """Evaluate the same call with gradients disabled."""
    call = subject.build_call(problem)
    custom = subject.implementation.custom_transforms.get(Transform.INFERENCE)

    def make() -> Any:
        if custom is not None:
            return custom(subject.modules, call)
        with subject.framework.inference(subject.modules):
            return subject.implementation.call(subject.modules, call)

    return _evaluated(subject, problem, "gradients disabled", make)


def _evaluated(subject: Subject, problem: Problem, variation: str, make: Callable[[], Any]) -> Evaluation:
    call = subject.describe(subject.build_call(problem))
    return subject.judged(problem, subject.collect_output(make), call.varied(f", {variation}"))


def _form(call: Call) -> tuple[Any, ...]:
    """Return what is compiled separately, apart from shapes."""
    return call.target_space, call.model_space, call.reduction, call.axis


def _function(subject: Subject, call: Call) -> Callable[..., Any]:
    """Return a call as a function of its two tensors."""

    def function(target: Any, model: Any) -> Any:
        return subject.implementation.call(subject.modules, replace(call, target=target, model=model))

    return function
