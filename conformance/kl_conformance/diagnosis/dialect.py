"""How the users of each library write a tensor, a gradient and a call."""

from __future__ import annotations

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

FEW = 16  # numbers that are written in their own shape


class NotExpressibleError(ValueError):
    """What a script would need has no short way to be written; the message says what."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One library's own words.

    Parameters
    ----------
    head
        Lines that every script starts with.
    tensor_text
        ``{values}``, ``{dtype}`` and ``{device}`` as a tensor.
    devices, carriers
        What is written for a device, and for a dtype where that is not its own name.
    softmax
        ``{x}`` through log_softmax over the last axis.
    shaped
        ``{x}`` in another shape.
    slopes
        Lines that give ``got``, the gradient of ``{call}`` by ``{x}``, with ones from above.
    weighed
        The same with ``{above}`` from above.
    read
        Lines that make ``got`` something whose elements are numbers to Python, where it is not.
    layouts
        ``{x}`` lying otherwise in memory, by the layout's name.
    """

    head: tuple[str, ...]
    tensor_text: str
    softmax: str
    shaped: str = "{x}.reshape({shape})"
    slopes: tuple[str, ...] = ()
    weighed: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    devices: Mapping[str, str] = field(default_factory=dict[str, str])
    carriers: Mapping[str, str] = field(default_factory=dict[str, str])
    layouts: Mapping[str, str] = field(default_factory=dict[str, str])

    def imports(self, implementation: str) -> Iterator[str]:
        """Yield the import lines of a known implementation, or of the library alone where it is empty."""
        yield from self.head
        package = IMPORTS.get(implementation.partition(".")[0], "")
        if implementation.startswith("keras.") and "(" in implementation:
            backend = implementation.partition("(")[2].removesuffix(")")
            package = f"import os; os.environ['KERAS_BACKEND'] = {backend!r}; {package}"
        if implementation.startswith("scipy."):
            package = f"import {implementation.rpartition('.')[0]}"
        if package and package not in self.head:
            yield package

    def tensor(self, values: str, dtype: Dtype, device: str) -> str:
        """Return an array literal as a tensor."""
        name = self.carriers.get(dtype.label, dtype.label)
        return self.tensor_text.format(values=values, dtype=name, device=self.devices.get(device, ""))

    def array(self, values: NDArray[Any], dtype: Dtype, device: str) -> str:
        """Return numbers as a tensor, bit for bit; many of them row after row, runs of one number as a product."""
        wide = np.asarray(values, dtype=np.float64)
        if wide.size <= FEW and wide.size:
            return self.tensor(repr(wide.tolist()), dtype, device)
        flat = self.tensor(runs(wide.ravel().tolist()), dtype, device)
        return flat if wide.ndim == 1 else self.shaped.format(x=flat, shape=wide.shape)

    def log_softmax(self, name: str) -> str:
        """Return the library's own log_softmax of a tensor."""
        return self.softmax.format(x=name)

    def laid(self, name: str, layout: str) -> str:
        """Return a tensor lying in memory otherwise."""
        if layout not in self.layouts:
            raise NotExpressibleError(f"the layout {layout}")
        return self.layouts[layout].format(x=name)

    def gradient(self, call: str, name: str, above: str) -> Iterator[str]:
        """Yield lines that give ``got``, the gradient of a call by a tensor."""
        lines = self.weighed if above else self.slopes
        if not lines:
            raise NotExpressibleError("a gradient")
        for line in lines:
            yield line.format(call=call, x=name, above=above)


def runs(numbers: list[float]) -> str:
    """Return numbers as a list, runs of one number as products of lists."""
    parts: list[str] = []
    for word, alike in groupby(map(repr, numbers)):
        length = len(list(alike))
        if length > 2:
            parts.append(f"[{word}] * {length}")
        elif parts and "*" not in parts[-1]:
            parts[-1] = f"{parts[-1][:-1]}, {', '.join([word] * length)}]"
        else:
            parts.append(f"[{', '.join([word] * length)}]")
    return " + ".join(parts) or "[]"


# A call compiled, and a library set, as a mode says.
COMPILED = {
    "jit": "jax.jit(lambda p, q: {call})",
    "graph": "tf.function(lambda p, q: {call}, autograph=False)",
    "xla": "tf.function(lambda p, q: {call}, autograph=False, jit_compile=True)",
    "compile": "torch.compile(lambda p, q: {call}, dynamic=False, fullgraph=True)",
}
SET = {"x32": 'jax.config.update("jax_enable_x64", False)'}
IMPORTS = {name: f"import {name}" for name in ("keras", "optax", "torchmetrics", "numpyro")}

# Known implementations that are written name(first, second, keywords); of the others those in CALLS have a script.
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
_ROWS = "*(x.reshape(-1, x.shape[-1]) for x in ({target}, {model}))"  # it takes shape (N, d) and no other
CLASSES_SECOND = (
    "torch.nn.functional.cross_entropy",
    "torch.nn.CrossEntropyLoss",
    "tinygrad.Tensor.cross_entropy",
)  # the axis is no argument
_TFP = (
    "tfp.distributions.kl_divergence(*(tfp.distributions.Categorical({}=x) for x in ({{target}}, {{model}})))"
)
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
    column: Column, described: CallDescription, operands: Mapping[Side, str], brought: KernelSource | None
) -> str:
    """Return a call as people write it.

    Parameters
    ----------
    column, described
        The column in which the call was made, and the call's description.
    operands
        Source text of either operand.
    brought
        Location of a user kernel; None for a built-in implementation.

    Raises
    ------
    UnwritableError
        No form of calling this implementation is known.
    """
    said = dict(described.keywords)
    name = column.implementation.removesuffix(
        f"({column.framework})"
    )  # Keras on another backend is called alike
    if name in {"keras.losses.KLDivergence", "keras.metrics.KLDivergence"}:
        said["dtype"] = repr(column.dtype)
    first, second = (operands[side] for side in described.order)
    spelt = ", ".join(f"{key}={value}" for key, value in said.items())
    if brought is not None:
        return brought.call.format(tensors=f"{first}, {second}", keywords=spelt).replace(", )", ")")
    if name.startswith(CLASSES_SECOND) and "axis" in said:
        raise NotExpressibleError("an axis that is not the second")
    if name in CALLS:
        text = CALLS[name]
        return text.format(keywords=spelt, target=operands[Side.TARGET], model=operands[Side.MODEL])
    if name not in PLAIN:
        raise NotExpressibleError(name)
    return f"{name}({', '.join(filter(None, (first, second, spelt)))})"
