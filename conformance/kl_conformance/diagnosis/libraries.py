"""Per-library code templates used by dialect."""

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
        "torch.nn.functional.pad({x}, (1, 1) * {x}.ndim, value=torch.finfo({x}.dtype).max)[(slice(1, -1),) * {x}.ndim]"
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
    preamble=("import numpy as np",),
    tensor_template="np.array({values}, np.{dtype})",
    log_softmax_template="{x} - np.logaddexp.reduce({x}, -1, keepdims=True)",
    dtype_names={"bfloat16": "float32"},
    layouts=NUMPY_LAYOUTS,
)
_JAX = Dialect(
    preamble=("import jax", 'jax.config.update("jax_enable_x64", True)'),
    tensor_template="jax.numpy.array({values}, jax.numpy.{dtype})",
    log_softmax_template="jax.nn.log_softmax({x})",
    gradient_lines=("value, pull = jax.vjp(lambda {x}: {call}, {x})", "(got,) = pull({upstream})"),
    ones="jax.numpy.ones_like(value)",
)
_TFP = "from tensorflow_probability.substrates import jax as tfp"
LIBRARIES: Mapping[str, Dialect] = {
    "torch": Dialect(
        preamble=("import torch",),
        tensor_template="torch.tensor({values}, dtype=torch.{dtype}{device})",
        log_softmax_template="torch.log_softmax({x}, -1)",
        gradient_lines=(
            "{x}.requires_grad_()",
            "value = {call}",
            "(got,) = torch.autograd.grad(value, {x}, {upstream})",
        ),
        ones="torch.ones_like(value)",
        devices={"cuda": ', device="cuda"'},
        layouts=TORCH_LAYOUTS,
    ),
    "tensorflow": Dialect(
        preamble=("import tensorflow as tf",),
        tensor_template="tf.constant({values}, tf.{dtype})",
        log_softmax_template="tf.nn.log_softmax({x})",
        reshape_template="tf.reshape({x}, {shape})",
        gradient_lines=(
            "with tf.GradientTape() as tape:",
            "    tape.watch({x})",
            "    value = {call}",
            "got = tape.gradient(value, {x})",
        ),
        weighted_gradient_lines=(
            "with tf.GradientTape() as tape:",
            "    tape.watch({x})",
            "    value = {call}",
            "got = tape.gradient(value, {x}, output_gradients={upstream})",
        ),
    ),
    "jax": _JAX,
    "paddle": Dialect(
        preamble=("import paddle",),
        tensor_template="paddle.to_tensor({values}, '{dtype}')",
        log_softmax_template="paddle.nn.functional.log_softmax({x}, -1)",
        gradient_lines=("{x}.stop_gradient = False", "value = {call}", "(got,) = paddle.grad(value, {x}, {upstream})"),
        ones="paddle.ones_like(value)",
    ),
    "tfp": replace(_JAX, preamble=(*_JAX.preamble, _TFP)),
    "mlx": Dialect(
        preamble=("import mlx.core as mx", "import mlx.nn", "mx.set_default_device(mx.cpu)"),
        tensor_template="mx.array({values}, mx.{dtype})",
        log_softmax_template="mlx.nn.log_softmax({x}, -1)",
        gradient_lines=("value = {call}", "(got,) = mx.vjp(lambda {x}: {call}, [{x}], [mx.ones_like(value)])[1]"),
        weighted_gradient_lines=("(got,) = mx.vjp(lambda {x}: {call}, [{x}], [{upstream}])[1]",),
    ),
    "tinygrad": Dialect(
        preamble=("from tinygrad import Tensor, dtypes",),
        tensor_template="Tensor({values}, dtype=dtypes.{dtype})",
        log_softmax_template="{x}.log_softmax(-1)",
        gradient_lines=("value = {call}", "(got,) = value.gradient({x}, gradient=value.ones_like())"),
        weighted_gradient_lines=("(got,) = ({call}).gradient({x}, gradient={upstream})",),
        conversion=("got = got.numpy()",),
    ),
    "scipy": _NUMPY,
    "numpy": _NUMPY,
}
