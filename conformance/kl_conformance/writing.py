"""How the users of each library write a tensor, a gradient and a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.brought import Brought
from kl_reference.convention import Side, Space
from kl_reference.dtype import Dtype
from kl_reports.result import Column

FEW = 16  # numbers that are written in their own shape


class UnwritableError(ValueError):
    """What a script would need has no short way to be written; the message says what."""


@dataclass(frozen=True, slots=True)
class Writing:
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
    layouts
        ``{x}`` lying otherwise in memory, by the layout's name.
    """

    head: tuple[str, ...]
    tensor_text: str
    softmax: str
    shaped: str = "{x}.reshape({shape})"
    slopes: tuple[str, ...] = ()
    weighed: tuple[str, ...] = ()
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
            raise UnwritableError(f"the layout {layout}")
        return self.layouts[layout].format(x=name)

    def gradient(self, call: str, name: str, above: str) -> Iterator[str]:
        """Yield lines that give ``got``, the gradient of a call by a tensor."""
        lines = self.weighed if above else self.slopes
        if not lines:
            raise UnwritableError("a gradient")
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

TORCH_LAYOUTS = {
    "transposed": "{x}.permute(*range({x}.ndim)[::-1]).contiguous().permute(*range({x}.ndim)[::-1])",
    "strided": "torch.stack([{x}, {x} * nan], -1)[..., 0]",
    "offset": "torch.cat([{x}.new_full((3,), nan), {x}.flatten(), {x}.new_full((3,), nan)])[3:-3].view({x}.shape)",
    "padded-rows": "torch.nn.functional.pad({x}, (0, 3), value=nan)[..., :-3]",
    "expanded": "{x}[:1].clone().expand({x}.shape)",
    "permuted-3d": "{x}.movedim(1, -1).contiguous().movedim(-1, 1)",
    "among-nan": "torch.nn.functional.pad({x}, (1, 1) * {x}.ndim, value=nan)[(slice(1, -1),) * {x}.ndim]",
    "among-largest": (
        "torch.nn.functional.pad({x}, (1, 1) * {x}.ndim, value=torch.finfo({x}.dtype).max)"
        "[(slice(1, -1),) * {x}.ndim]"
    ),
}
NUMPY_LAYOUTS = {
    "transposed": "np.array({x}, order='F')",
    "strided": "np.stack([{x}, {x} * nan], -1)[..., 0]",
    "offset": "np.concatenate([[nan] * 3, {x}.ravel(), [nan] * 3]).astype({x}.dtype)[3:-3].reshape({x}.shape)",
    "padded-rows": "np.concatenate([{x}, {x}[..., :1] * np.full(3, nan, {x}.dtype)], -1)[..., :-3]",
    "expanded": "np.broadcast_to({x}[:1].copy(), {x}.shape)",
    "permuted-3d": "np.moveaxis(np.moveaxis({x}, 1, -1).copy(), -1, 1)",
    "among-nan": "np.pad({x}, 1, constant_values=nan)[(slice(1, -1),) * {x}.ndim]",
    "among-largest": ("np.pad({x}, 1, constant_values=np.finfo({x}.dtype).max)[(slice(1, -1),) * {x}.ndim]"),
}
_NUMPY = Writing(
    head=("import numpy as np",),
    tensor_text="np.array({values}, np.{dtype})",
    softmax="{x} - np.logaddexp.reduce({x}, -1, keepdims=True)",
    carriers={"bfloat16": "float32"},
    layouts=NUMPY_LAYOUTS,
)
LIBRARIES: Mapping[str, Writing] = {
    "torch": Writing(
        head=("import torch",),
        tensor_text="torch.tensor({values}, dtype=torch.{dtype}{device})",
        softmax="torch.log_softmax({x}, -1)",
        slopes=(
            "{x}.requires_grad_()",
            "value = {call}",
            "(got,) = torch.autograd.grad(value, {x}, torch.ones_like(value))",
        ),
        weighed=(
            "{x}.requires_grad_()",
            "value = {call}",
            "(got,) = torch.autograd.grad(value, {x}, {above})",
        ),
        devices={"cuda": ', device="cuda"'},
        layouts=TORCH_LAYOUTS,
    ),
    "tensorflow": Writing(
        head=("import tensorflow as tf",),
        tensor_text="tf.constant({values}, tf.{dtype})",
        softmax="tf.nn.log_softmax({x})",
        shaped="tf.reshape({x}, {shape})",
        slopes=(
            "with tf.GradientTape() as tape:",
            "    tape.watch({x})",
            "    value = {call}",
            "got = tape.gradient(value, {x})",
        ),
        weighed=(
            "with tf.GradientTape() as tape:",
            "    tape.watch({x})",
            "    value = {call}",
            "got = tape.gradient(value, {x}, output_gradients={above})",
        ),
    ),
    "jax": Writing(
        head=("import jax", 'jax.config.update("jax_enable_x64", True)'),
        tensor_text="jax.numpy.array({values}, jax.numpy.{dtype})",
        softmax="jax.nn.log_softmax({x})",
        slopes=(
            "value, pull = jax.vjp(lambda {x}: {call}, {x})",
            "(got,) = pull(jax.numpy.ones_like(value))",
        ),
        weighed=("value, pull = jax.vjp(lambda {x}: {call}, {x})", "(got,) = pull({above})"),
    ),
    "paddle": Writing(
        head=("import paddle",),
        tensor_text="paddle.to_tensor({values}, '{dtype}')",
        softmax="paddle.nn.functional.log_softmax({x}, -1)",
        slopes=(
            "{x}.stop_gradient = False",
            "value = {call}",
            "(got,) = paddle.grad(value, {x}, paddle.ones_like(value))",
        ),
        weighed=("{x}.stop_gradient = False", "value = {call}", "(got,) = paddle.grad(value, {x}, {above})"),
    ),
    "scipy": _NUMPY,
    "numpy": _NUMPY,
}

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
}
_TORCHMETRICS = "torchmetrics.functional.regression.kl_divergence"
_ROWS = "*(x.reshape(-1, x.shape[-1]) for x in ({target}, {model}))"  # it takes shape (N, d) and no other
CLASSES_SECOND = ("torch.nn.functional.cross_entropy", "torch.nn.CrossEntropyLoss")  # the axis is no argument
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
    "keras.losses.KLDivergence": "keras.losses.KLDivergence({keywords})({target}, {model})",
    "keras.metrics.KLDivergence": "keras.metrics.KLDivergence({keywords})({target}, {model})",
    "tf.nn.softmax_cross_entropy_with_logits": (
        "tf.nn.softmax_cross_entropy_with_logits(labels={target}, logits={model})"
    ),
}


def call_of(
    column: Column,
    own: Mapping[str, str],
    operands: Mapping[Side, str],
    keywords: Mapping[str, str],
    accepted: Mapping[Side, Space],
    brought: Brought | None,
) -> str:
    """Return a call as people write it.

    Parameters
    ----------
    column, own
        Who is called, and its Convention as a run file's header has it.
    operands
        What is written for either side.
    keywords
        The arguments that are said, as they are written.
    accepted
        The spaces in which the sides are received.
    brought
        Where it lies, if it is a user's.

    Raises
    ------
    UnwritableError
        Nobody has written down how this implementation is called.
    """
    said = dict(keywords)
    if " or " in own.get("target (P)", ""):  # who takes both spaces is told which
        said["log_target"] = str(accepted[Side.TARGET] is Space.LOG)
    name = column.implementation.removesuffix(
        f"({column.framework})"
    )  # Keras on another backend is called alike
    if name in {"keras.losses.KLDivergence", "keras.metrics.KLDivergence"}:
        said["dtype"] = repr(column.dtype)
    order = [Side(word) for word in own["argument order"].split(", ")]
    first, second = (operands[side] for side in order)
    spelt = ", ".join(f"{key}={value}" for key, value in said.items())
    if brought is not None:
        return brought.call.format(tensors=f"{first}, {second}", keywords=spelt).replace(", )", ")")
    if name.startswith(CLASSES_SECOND) and "axis" in said:
        raise UnwritableError("an axis that is not the second")
    if name in CALLS:
        text = CALLS[name]
        return text.format(keywords=spelt, target=operands[Side.TARGET], model=operands[Side.MODEL])
    if name not in PLAIN:
        raise UnwritableError(name)
    return f"{name}({', '.join(filter(None, (first, second, spelt)))})"
