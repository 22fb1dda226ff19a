"""Transform: the ways to execute a call (compiled, batched, VJP, JVP), per framework."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from types import MappingProxyType
from typing import Any

Function = Callable[..., Any]
"""A function of tensors."""
Pullback = Callable[[Any], Sequence[Any]]
"""A function of an upstream gradient that returns gradients."""
Transformed = Callable[..., Any]
"""A function of the modules and a call that makes the call in the way of a transform."""


class Transform(Enum):
    """A way to execute a call; the value completes "the framework cannot …"."""

    JOINT = "differentiate with respect to both arguments at once"
    DEFERRED = "run a backward pass later, and a second time"
    CURVATURE = "differentiate a gradient"
    TANGENT = "differentiate in forward mode"
    COMPILED = "compile a call"
    BATCHED = "batch a call"
    PER_ROW = "differentiate each row separately, batched"
    AUTOCAST = "choose dtypes automatically"
    INFERENCE = "switch gradient tracking off"


class Transformer:
    """The transforms of a library, applied to functions of its tensors.

    Attributes
    ----------
    transforms
        Supported transforms.
    compilers
        Names of its compilers.
    slow_transforms
        Transforms that take seconds per shape; the quick profile skips them.
    unsupported_compiled
        Transforms that compiled calls do not support, each with the reason.
    may_refuse_compiled
        Transforms that compiled calls may refuse by raising.
    """

    transforms: frozenset[Transform] = frozenset()
    compilers: tuple[str, ...] = ()
    slow_transforms: frozenset[Transform] = frozenset()
    unsupported_compiled: Mapping[Transform, str] = MappingProxyType({})
    may_refuse_compiled: frozenset[Transform] = frozenset()

    def pullback(self, modules: Any, function: Function, tensors: Sequence[Any], *, retain: bool = False) -> Pullback:
        """Call ``function(*tensors)`` and return a function that computes the gradients by every tensor later.

        The gradients are those of ``sum(function(*tensors)·upstream)``; ``upstream`` is a tensor, or None for ones, in
        every method of this class. The values saved for the gradients outlive the first call only with ``retain``.

        Raises
        ------
        NotImplementedError
            The library does not support the transform; every other method raises it, too.
        AbsentError
            This version of the library, or this machine, lacks a requirement; every other method raises it, too.
        """
        raise NotImplementedError(Transform.DEFERRED.value)

    def gradients(self, modules: Any, function: Function, tensors: Sequence[Any], upstream: Any) -> Sequence[Any]:
        """Return the gradients of ``sum(function(*tensors)·upstream)`` by every tensor, in one backward pass."""
        return self.pullback(modules, function, tensors)(upstream)

    def differentiate(self, modules: Any, function: Function, tensor: Any, upstream: Any) -> Any:
        """Return the gradient of ``sum(function(tensor)·upstream)`` by the tensor."""
        return self.gradients(modules, function, (tensor,), upstream)[0]

    def curvature(self, modules: Any, function: Function, tensor: Any, direction: Any, upstream: Any) -> Any:
        """Return the gradient of ``sum(gradient·direction)``, where ``gradient`` is that of ``function·upstream``.

        Reverse mode over reverse mode, for libraries whose gradients can be differentiated like any other function.
        """

        def gradient(inner: Any) -> Any:
            return self.differentiate(modules, function, inner, upstream)

        return self.differentiate(modules, gradient, tensor, direction)

    def tangent(self, modules: Any, function: Function, tensor: Any, direction: Any) -> Any:
        """Return the derivative of ``function(tensor)`` along a direction, in forward mode."""
        raise NotImplementedError(Transform.TANGENT.value)

    def compiled(self, modules: Any, compiler: str, function: Function) -> Function:
        """Return the function compiled by one of ``compilers``."""
        raise NotImplementedError(Transform.COMPILED.value)

    def batched(self, modules: Any, function: Function) -> Function:
        """Return the function of one row as a function of many, along the first axis of every argument."""
        raise NotImplementedError(Transform.BATCHED.value)

    def batchable_gradient(self, modules: Any, function: Function, tensor: Any) -> Any:
        """Return the gradient of ``sum(function(tensor))``, computed in a way that can be batched."""
        return self.differentiate(modules, function, tensor, None)

    def per_row_gradients(self, modules: Any, function: Function, tensors: Sequence[Any], place: int) -> Any:
        """Return, for every row, the gradient of the sum of the function by the tensor at a position, batched."""

        def row(*own: Any) -> Any:
            def replaced(tensor: Any) -> Any:
                return function(*own[:place], tensor, *own[place + 1 :])

            return self.batchable_gradient(modules, replaced, own[place])

        return self.batched(modules, row)(*tensors)

    def autocast(self, modules: Any, device: str) -> AbstractContextManager[Any]:
        """Return the context in which the library chooses dtypes automatically."""
        raise NotImplementedError(Transform.AUTOCAST.value)

    def inference(self, modules: Any) -> AbstractContextManager[Any]:
        """Return the context in which gradients are not tracked."""
        raise NotImplementedError(Transform.INFERENCE.value)
