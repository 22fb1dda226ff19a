"""The words in which each library's users write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kl_conformance.diagnosis.dialect import Dialect

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
_NUMPY = Dialect(
    head=("import numpy as np",),
    tensor_text="np.array({values}, np.{dtype})",
    softmax="{x} - np.logaddexp.reduce({x}, -1, keepdims=True)",
    carriers={"bfloat16": "float32"},
    layouts=NUMPY_LAYOUTS,
)
_JAX = Dialect(
    head=("import jax", 'jax.config.update("jax_enable_x64", True)'),
    tensor_text="jax.numpy.array({values}, jax.numpy.{dtype})",
    softmax="jax.nn.log_softmax({x})",
    slopes=(
        "value, pull = jax.vjp(lambda {x}: {call}, {x})",
        "(got,) = pull(jax.numpy.ones_like(value))",
    ),
    weighed=("value, pull = jax.vjp(lambda {x}: {call}, {x})", "(got,) = pull({above})"),
)
LIBRARIES: Mapping[str, Dialect] = {
    "torch": Dialect(
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
    "tensorflow": Dialect(
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
    "jax": _JAX,
    "paddle": Dialect(
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
    "tfp": replace(
        _JAX,
        head=(*_JAX.head, "from tensorflow_probability.substrates import jax as tfp"),
    ),
    "mlx": Dialect(
        head=("import mlx.core as mx", "import mlx.nn", "mx.set_default_device(mx.cpu)"),
        tensor_text="mx.array({values}, mx.{dtype})",
        softmax="mlx.nn.log_softmax({x}, -1)",
        slopes=("value = {call}", "(got,) = mx.vjp(lambda {x}: {call}, [{x}], [mx.ones_like(value)])[1]"),
        weighed=("(got,) = mx.vjp(lambda {x}: {call}, [{x}], [{above}])[1]",),
    ),
    "tinygrad": Dialect(
        head=("from tinygrad import Tensor, dtypes",),
        tensor_text="Tensor({values}, dtype=dtypes.{dtype})",
        softmax="{x}.log_softmax(-1)",
        slopes=("value = {call}", "(got,) = value.gradient({x}, gradient=value.ones_like())"),
        weighed=("(got,) = ({call}).gradient({x}, gradient={above})",),
        read=("got = got.numpy()",),
    ),
    "scipy": _NUMPY,
    "numpy": _NUMPY,
}
