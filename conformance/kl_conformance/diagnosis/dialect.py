"""Source code for tensors, gradients and calls in each library's idiom."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.implementations.source import KernelSource
from kl_conformance.judging.call_description import CallDescription
from kl_reference.convention import Side
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column

FEW = 16  # numbers, at most, that are written as a nested list


class NotExpressibleError(ValueError):
    """The library has no short code for this part of a script; the message names the part."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The code templates of one library.

    Parameters
    ----------
    preamble
        First lines of every script.
    tensor_template
        A tensor of ``{values}``, ``{dtype}`` and ``{device}``.
    log_softmax_template, reshape_template
        log_softmax of ``{x}`` over the last axis, and ``{x}`` in another ``{shape}``.
    gradient_lines, ones, weighted_gradient_lines
        Lines that assign to ``got`` the gradient of ``{call}`` by ``{x}`` for an upstream gradient of ones, or for
        ``{upstream}``; the former lines with ``ones`` in the place of ``{upstream}`` where there are no others.
    conversion
        Lines that convert ``got`` to an array whose elements are numbers in Python; empty if it is one.
    devices, dtype_names
        The code of a device, and of a dtype that has another name in the library.
    layouts
        ``{x}`` in another memory layout, by the name of the layout.
    """

    preamble: tuple[str, ...]
    tensor_template: str
    log_softmax_template: str
    reshape_template: str = "{x}.reshape({shape})"
    gradient_lines: tuple[str, ...] = ()
    ones: str = ""
    weighted_gradient_lines: tuple[str, ...] = ()
    conversion: tuple[str, ...] = ()
    devices: Mapping[str, str] = field(default_factory=dict[str, str])
    dtype_names: Mapping[str, str] = field(default_factory=dict[str, str])
    layouts: Mapping[str, str] = field(default_factory=dict[str, str])

    def imports(self, implementation: str, framework: str) -> Iterator[str]:
        """Yield the import lines of a built-in implementation, or of the library alone if the name is empty."""
        yield from self.preamble
        package = IMPORTS.get(implementation.partition(".")[0], "")
        if implementation.startswith("keras.") and framework != "tensorflow":
            package = f"import os; os.environ['KERAS_BACKEND'] = {framework!r}; {package}"
        if implementation.startswith("scipy."):
            package = f"import {implementation.rpartition('.')[0]}"
        if package and package not in self.preamble:
            yield package

    def tensor(self, values: str, dtype: Dtype, device: str) -> str:
        """Return an array literal as a tensor."""
        name = self.dtype_names.get(dtype.label, dtype.label)
        return self.tensor_template.format(values=values, dtype=name, device=self.devices.get(device, ""))

    def array(self, values: NDArray[Any], dtype: Dtype, device: str) -> str:
        """Return numbers as a tensor, bit for bit; many numbers as a flat list, runs of one number as a product."""
        wide = np.asarray(values, dtype=np.float64)
        if wide.size <= FEW and wide.size:
            return self.tensor(repr(wide.tolist()), dtype, device)
        flat = self.tensor(runs(wide.ravel().tolist()), dtype, device)
        return flat if wide.ndim == 1 else self.reshape_template.format(x=flat, shape=wide.shape)

    def log_softmax(self, name: str) -> str:
        """Return the log_softmax of a tensor."""
        return self.log_softmax_template.format(x=name)

    def with_layout(self, name: str, layout: str) -> str:
        """Return a tensor in another memory layout."""
        if layout not in self.layouts:
            raise NotExpressibleError(f"the layout {layout}")
        return self.layouts[layout].format(x=name)

    def gradient(self, call: str, name: str, upstream: str) -> Iterator[str]:
        """Yield lines that assign to ``got`` the gradient of a call by a tensor."""
        lines = (self.weighted_gradient_lines if upstream else ()) or self.gradient_lines
        if not lines:
            raise NotExpressibleError("a gradient")
        for line in lines:
            yield line.format(call=call, x=name, upstream=upstream or self.ones)


def runs(numbers: list[float]) -> str:
    """Return numbers as a list, runs of one number as products of lists."""
    parts: list[str] = []
    for number, run in groupby(map(repr, numbers)):
        length = len(list(run))
        if length > 2:
            parts.append(f"[{number}] * {length}")
        elif parts and "*" not in parts[-1]:
            parts[-1] = f"{parts[-1][:-1]}, {', '.join([number] * length)}]"
        else:
            parts.append(f"[{', '.join([number] * length)}]")
    return " + ".join(parts) or "[]"


# The compiled call, and the setting of the library, in each mode.
COMPILED = {
    "jit": "jax.jit(lambda p, q: {call})",
    "graph": "tf.function(lambda p, q: {call}, autograph=False)",
    "xla": "tf.function(lambda p, q: {call}, autograph=False, jit_compile=True)",
    "compile": "torch.compile(lambda p, q: {call}, dynamic=False, fullgraph=True)",
}
SETTINGS = {"x32": 'jax.config.update("jax_enable_x64", False)'}
IMPORTS = {name: f"import {name}" for name in ("keras", "optax", "torchmetrics", "numpyro")}

# Built-in implementations that are called as name(first, second, keywords); CALLS has the others that have a script.
PLAIN = {
    "torch.nn.functional.kl_div",
    "torch.nn.functional.cross_entropy",
    "keras.losses.kl_divergence",
    "paddle.nn.functional.kl_div",
    "jax.scipy.special.rel_entr",
    "jax.scipy.special.kl_div",
    "optax.losses.kl_divergence",
    "optax.losses.kl_divergence_with_log_targets",
    "optax.losses.generalized_kl_divergence",
    "scipy.special.rel_entr",
    "scipy.special.kl_div",
    "scipy.stats.entropy",
    "mlx.nn.losses.kl_div_loss",
}
_TORCHMETRICS = "torchmetrics.functional.regression.kl_divergence"
_ROWS = "*(x.reshape(-1, x.shape[-1]) for x in ({target}, {model}))"  # it accepts shape (N, d) only
CLASSES_SECOND = (
    "torch.nn.functional.cross_entropy",
    "torch.nn.CrossEntropyLoss",
    "tinygrad.Tensor.cross_entropy",
)  # these have no axis argument
_TFP = "tfp.distributions.kl_divergence(*(tfp.distributions.Categorical({}=x) for x in ({{target}}, {{model}})))"
CALLS = {
    "torch.nn.CrossEntropyLoss": "torch.nn.CrossEntropyLoss({keywords})({model}, {target})",
    "torch.nn.functional.cross_entropy(label_smoothing)": (
        "torch.nn.functional.cross_entropy({model}, {target}, label_smoothing=0.1, {keywords})"
    ),
    "torch.nn.CrossEntropyLoss(label_smoothing)": (
        "torch.nn.CrossEntropyLoss(label_smoothing=0.1, {keywords})({model}, {target})"
    ),
    "torch.distributions.kl_divergence(probs)": (
        "torch.distributions.kl_divergence(*map(lambda x: torch.distributions.Categorical(probs=x), "
        "({target}, {model})))"
    ),
    "paddle.nn.KLDivLoss": "paddle.nn.KLDivLoss({keywords})({model}, {target})",
    "torch.nn.KLDivLoss": "torch.nn.KLDivLoss({keywords})({model}, {target})",
    "torch.distributions.kl_divergence": (
        "torch.distributions.kl_divergence(*map(lambda x: torch.distributions.Categorical(logits=x), "
        "({target}, {model})))"
    ),
    _TORCHMETRICS: f"{_TORCHMETRICS}({_ROWS}, {{keywords}})",
    f"{_TORCHMETRICS}(log_prob)": f"{_TORCHMETRICS}({_ROWS}, log_prob=True, {{keywords}})",
    "torchmetrics.regression.KLDivergence": f"torchmetrics.regression.KLDivergence({{keywords}})({_ROWS})",
    "numpyro.distributions.kl_divergence": (
        "numpyro.distributions.kl_divergence(*(numpyro.distributions.Categorical(probs=x, validate_args=False) "
        "for x in ({target}, {model})))"
    ),
    "tfp.substrates.jax.distributions.kl_divergence": _TFP.format("logits"),
    "tfp.substrates.jax.distributions.kl_divergence(probs)": _TFP.format("probs"),
    "tinygrad.Tensor.cross_entropy": "{model}.cross_entropy({target}, {keywords})",
    "keras.losses.KLDivergence": "keras.losses.KLDivergence({keywords})({target}, {model})",
    "keras.metrics.KLDivergence": "keras.metrics.KLDivergence({keywords})({target}, {model})",
    "tf.nn.softmax_cross_entropy_with_logits": (
        "tf.nn.softmax_cross_entropy_with_logits(labels={target}, logits={model})"
    ),
}


def call_of(
    column: Column, described: CallDescription, operands: Mapping[Side, str], source: KernelSource | None
) -> str:
    """Return the source code of a call.

    Parameters
    ----------
    column, described
        The column in which the call was made, and the call's description.
    operands
        Source code of either operand.
    source
        Location of a user kernel; None for a built-in implementation.

    Raises
    ------
    NotExpressibleError
        The call of this implementation is not known.
    """
    keywords = dict(described.keywords)
    # Keras on another backend is called in the same way.
    name = column.implementation.removesuffix(f"({column.framework})")
    if name in {"keras.losses.KLDivergence", "keras.metrics.KLDivergence"}:
        keywords["dtype"] = repr(column.dtype)
    first, second = (operands[side] for side in described.order)
    options = ", ".join(f"{key}={value}" for key, value in keywords.items())
    if source is not None:
        return source.call.format(tensors=f"{first}, {second}", keywords=options).replace(", )", ")")
    if name.startswith(CLASSES_SECOND) and "axis" in keywords:
        raise NotExpressibleError("an axis that is not the second")
    if name in CALLS:
        text = CALLS[name]
        return text.format(keywords=options, target=operands[Side.TARGET], model=operands[Side.MODEL])
    if name not in PLAIN:
        raise NotExpressibleError(name)
    return f"{name}({', '.join(filter(None, (first, second, options)))})"
