"""A callable somebody brings, asked in the way of the known implementation it promises to follow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kl_conformance.implementation import Call, Implementation, MisgivenError
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Space

# What anything that can be called can be asked; the rest of what its like promises a kernel must promise itself.
EXPECTED = {Transform.JOINT, Transform.DEFERRED, Transform.CURVATURE, Transform.INFERENCE}
UNDIFFERENTIABLE = {"numpy", "scipy"}


class UncallableError(ValueError):
    """What is brought cannot be called in the way of what it is like; the message says what it takes."""


def adapted(
    kernel: Any, like: Implementation, name: str = "", *, framework: str = "", strict: bool = False
) -> Implementation:
    """Return a callable as an Implementation with the Convention of another.

    It is called with the two tensors in that Convention's order, and by keyword with ``reduction``,
    ``log_target`` and ``axis`` as far as its signature has them: what it has no argument for, it is not asked.
    A class (of modules or losses) gets the keywords when it is made, and the tensors when its object is called.

    Parameters
    ----------
    kernel
        A function, a module, or a class of modules; or an Implementation, which keeps its own Convention.
    like
        Whose Convention it follows.
    name
        What people are to call it; its own name when empty.
    framework
        Whose tensors it takes; those of ``like`` when empty.
    strict
        Whether it must be right also where ``like`` is recorded to be wrong.

    Raises
    ------
    UncallableError
        It is not callable, or does not take two tensors.
    """
    permission = "" if strict else like.name
    if isinstance(kernel, Implementation):
        return replace(checked(kernel), like=permission)
    name = name or str(getattr(kernel, "__qualname__", type(kernel).__qualname__))
    taken = _taken(kernel, name, like)
    convention = _narrowed(like.convention, kernel, taken)
    legacy = like.legacy if {"size_average", "reduce"} <= taken else ()
    return Implementation(
        name=name,
        framework=framework or like.framework,
        package=framework or like.framework,
        convention=convention,
        call=_checked(_call(kernel, taken)),
        documentation=like.documentation,
        dtypes=like.dtypes,
        gradients=frozenset() if framework in UNDIFFERENTIABLE else like.gradients,
        broadcasts=like.broadcasts,
        compares_distributions=like.compares_distributions,
        needs_distributions=like.needs_distributions,
        legacy=legacy,
        like=permission,
        transforms=like.transforms & EXPECTED,
        # As torch's once_differentiable does, and torch.compile where a graph is to be kept.
        may_refuse=frozenset({Transform.CURVATURE, Transform.DEFERRED}),
    )


def _taken(kernel: Any, name: str, like: Implementation) -> frozenset[str]:
    """Return which of our keywords a kernel takes."""
    if not callable(kernel):
        raise UncallableError(f"{name!r} is of type {type(kernel).__name__}, and cannot be called")
    made = isinstance(kernel, type)
    ours = ("reduction", "log_target", "axis", "size_average", "reduce")
    try:
        # A module's own call takes anything; what it hands on to says what.
        signature = inspect.signature(getattr(kernel, "forward", kernel) if not made else kernel)
    except (TypeError, ValueError):  # written in C: it says nothing of its arguments
        return frozenset()
    parameters = signature.parameters.values()
    if not made:
        first, second = (side.value for side in like.convention.order)
        try:
            bound = signature.bind_partial(None, None)
        except TypeError:
            raise UncallableError(
                f"{name}{signature} does not take two tensors in a row ({first}, {second}), as {like.name} does"
            ) from None
        used = set(bound.arguments)
        needed = [
            each.name
            for each in parameters
            if each.default is each.empty
            and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
            and each.name not in {*used, *ours}
        ]
        if needed:
            raise UncallableError(
                f"{name}{signature} also demands {', '.join(needed)}, which {like.name} does not know"
            )
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return frozenset(ours)
    return frozenset(each.name for each in parameters if each.name in ours)


def _narrowed(convention: Convention, kernel: Any, taken: frozenset[str]) -> Convention:
    """Return the part of a Convention that a kernel has arguments for."""
    reductions, default = convention.reductions, convention.default
    if "reduction" not in taken:
        # A module knows the reduction it was made with.
        default = _own(kernel, "reduction", reductions, default or next(iter(reductions)))
        reductions = {default: reductions[default]}
    target = convention.target
    if len(target) > 1 and "log_target" not in taken:
        target = (Space.LOG,) if getattr(kernel, "log_target", False) is True else (Space.PROBABILITY,)
    return replace(convention, reductions=reductions, default=default, target=target)


def _own(kernel: Any, attribute: str, known: Mapping[str, Any], default: str) -> str:
    found = getattr(kernel, attribute, None)
    return found if isinstance(found, str) and found in known else default


def checked(implementation: Implementation) -> Implementation:
    """Return an Implementation somebody brings that says so where it gives no tensor like those it is given."""
    return replace(implementation, call=_checked(implementation.call))


def _checked(answer: Callable[[Any, Call], Any]) -> Callable[[Any, Call], Any]:

    def call(modules: Any, asked: Call) -> Any:
        given, like = answer(modules, asked), type(asked.target)
        # NumPy and JAX take numbers and arrays of each other for arrays; what is detached from a graph, nothing else.
        foreign = hasattr(like, "detach") and not hasattr(given, "detach")
        if foreign or given is None or isinstance(given, str | bytes | tuple | dict):
            due = f"{like.__module__.partition('.')[0]}.{like.__name__}"
            raise MisgivenError(f"gave {_named(given)} where a {due} is due")
        return given

    return call


def _named(given: Any) -> str:
    """Return what is no tensor, in words."""
    if given is None:
        return "None"
    own = type(given)
    name = own.__name__ if own.__module__ == "builtins" else f"{own.__module__}.{own.__name__}"
    return f"a {name} of {len(given)}" if isinstance(given, tuple | list | dict) else f"a {name}"


def _call(kernel: Any, taken: frozenset[str]) -> Callable[[Any, Call], Any]:
    made = isinstance(kernel, type)

    def call(modules: Any, asked: Call) -> Any:
        del modules
        keywords = dict(asked.keywords)
        if "log_target" in taken:
            keywords["log_target"] = asked.log_target
        return kernel(**keywords)(*asked.arguments) if made else kernel(*asked.arguments, **keywords)

    return call
