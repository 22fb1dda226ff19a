"""Execution modes of a column: eager, under a setting, compiled."""

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging.cache import Cache, cached, lru_cache
from kl_reference.dtype import Dtype

EAGER = "eager"
COMPILED_FUNCTIONS = 256  # kept for each implementation


def modes(implementation: Implementation, framework: Framework) -> tuple[str, ...]:
    """Return the modes of an implementation: eager, the framework's settings, and compiled if it declares that."""
    compilable = (
        Transform.COMPILED in implementation.transforms
        and Transform.COMPILED not in implementation.unsupported_transforms
    )
    return (EAGER, *framework.setting_modes, *(framework.compiled_modes if compilable else ()))


def dtypes(implementation: Implementation, framework: Framework, mode: str) -> tuple[Dtype, ...]:
    """Return the dtypes of an implementation in a mode: a setting may exclude some."""
    supported = framework.setting_modes.get(mode, implementation.dtypes)
    return tuple(dtype for dtype in implementation.dtypes if dtype in supported)


def in_mode(implementation: Implementation, framework: Framework, modules: Any, mode: str) -> Implementation:
    """Return an implementation whose every call is compiled, once for each shape; unchanged in other modes.

    A function that the compiler refuses raises in the call: a failure of the column, not of the suite.
    """
    if mode not in framework.compiled_modes:
        return implementation
    compiler = framework.compiled_modes[mode]
    functions: Cache[Any] = lru_cache(COMPILED_FUNCTIONS)

    def compiled_call(loaded: Any, call: Call) -> Any:
        def plain(target: Any, model: Any) -> Any:
            return implementation.call(loaded, replace(call, target=target, model=model))

        def compile_it() -> Any:
            return framework.compiled(modules, compiler, plain)

        # Weights and masks would become constants of a cached function.
        constant = call.weights is not None or call.mask is not None
        function = compile_it() if constant else cached(functions, _form(call), compile_it)
        return function(call.target, call.model)

    unsupported = {**implementation.unsupported_transforms, **framework.unsupported_compiled}
    may_refuse = implementation.may_refuse | framework.may_refuse_compiled
    return replace(implementation, call=compiled_call, unsupported_transforms=unsupported, may_refuse=may_refuse)


def _form(call: Call) -> tuple[Any, ...]:
    """Return what a compiler knows of a call: everything but the numbers."""
    tensors = ((tuple(each.shape), str(each.dtype)) for each in (call.target, call.model))
    options = tuple(sorted((name, repr(value)) for name, value in call.options.items()))
    return call.target_space, call.model_space, call.reduction, call.axis, call.dtype, *tensors, options
