"""The ways of running a call that make columns of their own: as it is made, under a setting, or compiled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging.cache import Memory
from kl_reference.dtype import Dtype

EAGER = "eager"
# What a compiler or a setting may change is answers and gradients; what else a call does is asked of it as it is made.
CHAPTERS = ("values", "support", "reductions", "gradients")
KEPT = 256  # compiled functions


def modes(implementation: Implementation, framework: Framework) -> tuple[str, ...]:
    """Return the modes an implementation has columns in: of settings, and compiled where it promises that it can be."""
    able = (
        Transform.COMPILED in implementation.transforms
        and Transform.COMPILED not in implementation.unsupported_transforms
    )
    return (EAGER, *framework.setting_modes, *(framework.compiled_modes if able else ()))


def dtypes(implementation: Implementation, framework: Framework, mode: str) -> tuple[Dtype, ...]:
    """Return the dtypes an implementation has columns in, in a mode: a setting may leave some out."""
    there = framework.setting_modes.get(mode, implementation.dtypes)
    return tuple(dtype for dtype in implementation.dtypes if dtype in there)


def skipped(chapter: str, mode: str) -> str | None:
    """Return why a requirement is not put to a mode, or None where it is."""
    if mode == EAGER or chapter in CHAPTERS:
        return None
    return f"mode {mode} is asked chapters {', '.join(CHAPTERS)}; the others in column {EAGER}"


def ran(implementation: Implementation, framework: Framework, modules: Any, mode: str) -> Implementation:
    """Return an implementation whose every call is compiled, once for each shape; itself where none is.

    What the compiler refuses, the call raises: that is broken, and not the harness.
    """
    if mode not in framework.compiled_modes:
        return implementation
    compiler = framework.compiled_modes[mode]
    functions: Memory[Any] = Memory(KEPT)

    def call(own: Any, asked: Call) -> Any:
        def plain(target: Any, model: Any) -> Any:
            return implementation.call(own, replace(asked, target=target, model=model))

        if asked.weights is not None or asked.mask is not None:  # tensors that would become constants
            return framework.compiled(modules, compiler, plain)(asked.target, asked.model)
        function = functions.get(_form(asked), lambda: framework.compiled(modules, compiler, plain))
        return function(asked.target, asked.model)

    lacks = {**implementation.unsupported_transforms, **framework.unsupported_compiled}
    refuses = implementation.may_refuse | framework.may_refuse_compiled
    return replace(implementation, call=call, unsupported_transforms=lacks, may_refuse=refuses)


def _form(call: Call) -> tuple[Any, ...]:
    """Return what a compiler sees of a call: all but the numbers."""
    tensors = ((tuple(each.shape), str(each.dtype)) for each in (call.target, call.model))
    options = tuple(sorted((name, repr(value)) for name, value in call.options.items()))
    return call.target_space, call.model_space, call.reduction, call.axis, call.dtype, *tensors, options
