"""What can be done with a call beside making it: compiled, batched, differentiated otherwise, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from types import MappingProxyType
from typing import Any

Function = Callable[..., Any]
"""A function of tensors."""
Pullback = Callable[[Any], Sequence[Any]]
"""A function of an upstream gradient that returns gradients."""


class Transform(Enum):
    """Something that can be done with a call; the value completes "… cannot"."""

    JOINT = "differentiate by both sides at once"
    DEFERRED = "differentiate later, and once more"
    CURVATURE = "differentiate a gradient"
    TANGENT = "differentiate forwards"
    COMPILED = "compile a call"
    BATCHED = "batch a call"
    PER_ROW = "differentiate rows by themselves, batched"
    AUTOCAST = "choose dtypes by itself"
    INFERENCE = "switch gradients off"


class Transformer:
    """What a library can do with functions of its tensors; ``transforms`` says what it can."""

    transforms: frozenset[Transform] = frozenset()
    compilers: tuple[str, ...] = ()
    slow_transforms: frozenset[Transform] = (
        frozenset()
    )  # what takes seconds a shape: not for the quick profile
    unsupported_compiled: Mapping[Transform, str] = MappingProxyType(
        {}
    )  # what cannot be done with compiled calls, and why
    may_refuse_compiled: frozenset[Transform] = frozenset()  # what compiled calls may refuse by raising

    def pullback(
        self, modules: Any, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Ask ``function(*tensors)`` now, and return what gives the gradients by every tensor, whenever it is called.

        Those are of ``sum(function(*tensors)·upstream)``; ``upstream`` is a tensor, or None for ones; so it is
        everywhere here. What is saved for the gradients is kept beyond the first call only where they are asked
        for ``again``.

        Raises
        ------
        NotImplementedError
            The library cannot; so does every other method.
        AbsentError
            This version of it, or this machine, lacks what is needed; so does every other method.
        """
        raise NotImplementedError(Transform.DEFERRED.value)

    def gradients(
        self, modules: Any, function: Function, tensors: Sequence[Any], upstream: Any
    ) -> Sequence[Any]:
        """Return the gradients of ``sum(function(*tensors)·upstream)`` by every tensor, asked for at once."""
        return self.pullback(modules, function, tensors)(upstream)

    def differentiate(self, modules: Any, function: Function, tensor: Any, upstream: Any) -> Any:
        """Return the gradient of ``sum(function(tensor)·upstream)`` by the tensor."""
        return self.gradients(modules, function, (tensor,), upstream)[0]

    def curvature(self, modules: Any, function: Function, tensor: Any, direction: Any, upstream: Any) -> Any:
        """Return the gradient of ``sum(gradient·direction)``, the gradient being that of ``function·upstream``.

        Reverse mode by reverse mode, for libraries whose gradients can be differentiated like any other function.
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
        """Return the gradient of ``sum(function(tensor))``, asked for in a way that can be batched."""
        return self.differentiate(modules, function, tensor, None)

    def per_row_gradients(self, modules: Any, function: Function, tensors: Sequence[Any], place: int) -> Any:
        """Return the gradients of the sums of the function of every row by the tensor in a place, batched."""

        def row(*own: Any) -> Any:
            def moved(tensor: Any) -> Any:
                return function(*own[:place], tensor, *own[place + 1 :])

            return self.batchable_gradient(modules, moved, own[place])

        return self.batched(modules, row)(*tensors)

    def autocast(self, modules: Any, device: str) -> AbstractContextManager[Any]:
        """Return the region in which the library chooses dtypes by itself."""
        raise NotImplementedError(Transform.AUTOCAST.value)

    def inference(self, modules: Any) -> AbstractContextManager[Any]:
        """Return the region in which nothing is remembered for gradients."""
        raise NotImplementedError(Transform.INFERENCE.value)
