"""Wraps a user's callable in the calling convention of the built-in implementation it follows."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kl_conformance.errors import MisgivenError
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation
from kl_reference.convention import Convention, Space

# Transforms expected of every callable; a kernel has to declare the others itself.
EXPECTED = {Transform.JOINT, Transform.DEFERRED, Transform.CURVATURE, Transform.INFERENCE}
UNDIFFERENTIABLE = {"numpy", "scipy"}


class UncallableError(ValueError):
    """A user kernel cannot be called like the implementation it follows; the message gives its signature."""


def adapted(
    kernel: Any, like: Implementation, name: str = "", *, framework: str = "", strict: bool = False
) -> Implementation:
    """Return a callable as an Implementation with the Convention of another.

    It is called with the two tensors in that Convention's order, and by keyword with ``reduction``,
    ``log_target`` and ``axis`` as far as its signature has them; nothing else is tested. A class (of modules or
    losses) receives the keywords when it is instantiated, and the tensors when the instance is called.

    Parameters
    ----------
    kernel
        A function, a module, or a class of modules; or an Implementation, which keeps its own Convention.
    like
        Built-in implementation whose Convention it follows.
    name
        Name to show; the kernel's own name when empty.
    framework
        Framework whose tensors it takes; that of ``like`` when empty.
    strict
        Whether the known deviations of ``like`` are failures, too.

    Raises
    ------
    UncallableError
        It is not callable, or does not take two tensors.
    """
    permission = "" if strict else like.name
    if isinstance(kernel, Implementation):
        return replace(checked(kernel), like=permission)
    name = name or str(getattr(kernel, "__qualname__", type(kernel).__qualname__))
    accepted = _accepted_keywords(kernel, name, like)
    convention = _narrowed(like.convention, kernel, accepted)
    legacy = like.legacy if {"size_average", "reduce"} <= accepted else ()
    return Implementation(
        name=name,
        framework=framework or like.framework,
        package=framework or like.framework,
        convention=convention,
        call=_checked(_call(kernel, accepted)),
        documentation=like.documentation,
        dtypes=like.dtypes,
        gradients=frozenset() if framework in UNDIFFERENTIABLE else like.gradients,
        broadcasts=like.broadcasts,
        compares_distributions=like.compares_distributions,
        needs_distributions=like.needs_distributions,
        legacy=legacy,
        like=permission,
        transforms=like.transforms & EXPECTED,
        # As torch's once_differentiable refuses the first, and torch.compile the second.
        may_refuse=frozenset({Transform.CURVATURE, Transform.DEFERRED}),
    )


def _accepted_keywords(kernel: Any, name: str, like: Implementation) -> frozenset[str]:
    """Return which of the suite's keywords a kernel accepts."""
    if not callable(kernel):
        raise UncallableError(f"{name!r} is of type {type(kernel).__name__}, which is not callable")
    is_class = isinstance(kernel, type)
    keywords = ("reduction", "log_target", "axis", "size_average", "reduce")
    try:
        # The call of a torch module accepts anything; its forward has the signature.
        signature = inspect.signature(getattr(kernel, "forward", kernel) if not is_class else kernel)
    except (TypeError, ValueError):  # a function written in C has no signature
        return frozenset()
    parameters = signature.parameters.values()
    if not is_class:
        first, second = (side.value for side in like.convention.order)
        try:
            bound = signature.bind_partial(None, None)
        except TypeError:
            raise UncallableError(
                f"{name}{signature} does not take two positional tensors ({first}, {second}) as {like.name} does"
            ) from None
        used = set(bound.arguments)
        needed = [
            each.name
            for each in parameters
            if each.default is each.empty
            and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
            and each.name not in {*used, *keywords}
        ]
        if needed:
            raise UncallableError(f"{name}{signature} requires {', '.join(needed)}, which {like.name} does not have")
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return frozenset(keywords)
    return frozenset(each.name for each in parameters if each.name in keywords)


def _narrowed(convention: Convention, kernel: Any, accepted: frozenset[str]) -> Convention:
    """Return the part of a Convention that a kernel has arguments for."""
    reductions, default = convention.reductions, convention.default
    if "reduction" not in accepted:
        # A module stores the reduction it was created with.
        default = _own(kernel, "reduction", reductions, default or next(iter(reductions)))
        reductions = {default: reductions[default]}
    target = convention.target
    if len(target) > 1 and "log_target" not in accepted:
        target = (Space.LOG,) if getattr(kernel, "log_target", False) is True else (Space.PROBABILITY,)
    return replace(convention, reductions=reductions, default=default, target=target)


def _own(kernel: Any, attribute: str, known: Mapping[str, Any], default: str) -> str:
    found = getattr(kernel, attribute, None)
    return found if isinstance(found, str) and found in known else default


def checked(implementation: Implementation) -> Implementation:
    """Return an Implementation that raises if its call returns anything but a tensor of its arguments' kind."""
    return replace(implementation, call=_checked(implementation.call))


def _checked(function: Callable[[Any, Call], Any]) -> Callable[[Any, Call], Any]:

    def checked_call(modules: Any, call: Call) -> Any:
        result, like = function(modules, call), type(call.target)
        # NumPy and JAX accept numbers and each other's arrays as arrays; a library with autograd accepts only its own.
        foreign = hasattr(like, "detach") and not hasattr(result, "detach")
        if foreign or result is None or isinstance(result, str | bytes | tuple | dict):
            expected = f"{like.__module__.partition('.')[0]}.{like.__name__}"
            raise MisgivenError(f"returned {_described(result)}, expected a {expected}")
        return result

    return checked_call


def _described(result: Any) -> str:
    """Return the type, and the length of a container, of a result that is no tensor."""
    if result is None:
        return "None"
    own = type(result)
    name = own.__name__ if own.__module__ == "builtins" else f"{own.__module__}.{own.__name__}"
    return f"a {name} of {len(result)}" if isinstance(result, tuple | list | dict) else f"a {name}"


def _call(kernel: Any, accepted: frozenset[str]) -> Callable[[Any, Call], Any]:
    is_class = isinstance(kernel, type)

    def call_kernel(modules: Any, call: Call) -> Any:
        del modules
        keywords = dict(call.keywords)
        if "log_target" in accepted:
            keywords["log_target"] = call.log_target
        return kernel(**keywords)(*call.arguments) if is_class else kernel(*call.arguments, **keywords)

    return call_kernel
