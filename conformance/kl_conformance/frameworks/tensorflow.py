"""TensorFlow: eager tensors, gradient tapes, tf.function, XLA; Keras on top of them."""

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework, Modules, Output
from kl_conformance.frameworks.transform import Function, Pullback, Transform
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand
from kl_reference.tolerance import Profile


class TensorFlow(Framework):
    """Eager TensorFlow tensors, and Keras on top of them."""

    name = "tensorflow"
    devices = ("cpu", "cuda")
    transforms = frozenset(Transform) - {Transform.AUTOCAST, Transform.INFERENCE}
    compilers = ("tf.function", "XLA")
    compiled_modes = MappingProxyType({"graph": "tf.function", "xla": "XLA"})

    def load(self) -> Modules:
        """Import TensorFlow and Keras, without TensorFlow's start-up messages on stderr."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        return Modules({"tf": importlib.import_module("tensorflow"), "keras": importlib.import_module("keras")})

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA is not available."""
        tf = modules.tf
        if device == "cuda" and not tf.config.list_physical_devices("GPU"):
            return f"tensorflow {tf.__version__} finds no GPU on this machine"
        return Framework.unavailable(self, modules, device)

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile; TensorFlow's CPU threads flush subnormals, and float16 is computed in float32."""
        return replace(Profile.of(dtype), flush_to_zero=device == "cpu" and dtype is not Dtype.FLOAT16)

    def settings(self, modules: Modules) -> Mapping[str, Any]:
        """Return Keras's default dtype and epsilon, and whether functions run eagerly."""
        config = modules.keras.config
        return {
            "Keras's default dtype": config.floatx(),
            "Keras's epsilon": config.epsilon(),
            "whether tf.functions run eagerly": modules.tf.config.functions_run_eagerly(),
        }

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return an operand as a tensor; TensorFlow tensors have no strides."""
        return modules.tf.cast(self.from_numpy(modules, operand.values, device), operand.dtype.label)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a NumPy array as a tensor of the same dtype."""
        tf = modules.tf
        with tf.device("GPU:0" if device == "cuda" else "CPU:0"):
            return tf.constant(values)

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor with rows of one number before its own."""
        tf = modules.tf
        with tf.device(tensor.device):
            shape = tf.constant([rows, *tensor.shape[1:]], tf.int64)
            return tf.concat([tf.fill(shape, tf.constant(fill, tensor.dtype)), tensor], 0)

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return a tensor as float64 values, with its dtype."""
        values = modules.tf.cast(tensor, "float64").numpy()
        return Output(np.asarray(values, dtype=np.float64), str(tensor.dtype.name))

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate with a gradient tape that watches every tensor."""
        tf = modules.tf
        with tf.GradientTape(persistent=retain) as tape:
            for tensor in tensors:
                tape.watch(tensor)
            result = function(*tensors)

        def backward(upstream: Any) -> Sequence[Any]:
            seed = None if upstream is None else tf.cast(upstream, result.dtype)
            found: Sequence[Any] = tape.gradient(result, list(tensors), output_gradients=seed)
            return found

        return backward

    def curvature(self, modules: Modules, function: Function, tensor: Any, direction: Any, upstream: Any) -> Any:
        """Differentiate with nested tapes; a gradient that does not depend on the tensor has derivative 0."""
        tf = modules.tf
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            (first,) = self.gradients(modules, function, (tensor,), upstream)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(first, tensor, output_gradients=direction, unconnected_gradients=zero)

    def tangent(self, modules: Modules, function: Function, tensor: Any, direction: Any) -> Any:
        """Differentiate with ``tf.autodiff.ForwardAccumulator``."""
        with modules.tf.autodiff.ForwardAccumulator(tensor, direction) as accumulator:
            result = function(tensor)
        return accumulator.jvp(result)

    def compiled(self, modules: Modules, compiler: str, function: Function) -> Function:
        """Compile with ``tf.function``, and its graph with XLA for the compiler ``XLA``."""
        made: Function = modules.tf.function(function, jit_compile=compiler == "XLA", autograph=False)
        return made

    def batched(self, modules: Modules, function: Function) -> Function:
        """Call ``tf.vectorized_map`` in a graph that is traced once per shape."""
        tf = modules.tf

        def one(row: Sequence[Any]) -> Any:
            return function(*row)

        def batch(*tensors: Any) -> Any:
            return tf.vectorized_map(one, tensors)

        made: Function = tf.function(batch, autograph=False)
        return made

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Call ``tf.nn.log_softmax``."""
        return modules.tf.nn.log_softmax(tensor)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``tf.nn.softmax_cross_entropy_with_logits``."""
        return modules.tf.nn.softmax_cross_entropy_with_logits(labels=call.target, logits=call.model)

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Sum ``tf.math.xlogy``."""
        tf = modules.tf
        return -tf.reduce_sum(tf.math.xlogy(call.target, call.target), axis=-1)
