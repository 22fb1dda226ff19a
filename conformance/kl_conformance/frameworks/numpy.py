"""NumPy arrays; SciPy functions take them as they are."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_cases.layouts import LAYOUTS
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework, Modules, Output
from kl_conformance.frameworks.transform import Function
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand
from kl_reference.tolerance import Profile


class NumPy(Framework):
    """NumPy arrays; gradients only where an implementation declares its own."""

    name = "numpy"
    strided = True

    def load(self) -> Modules:
        """Import NumPy, ``scipy.special`` and ``scipy.stats``."""
        special = importlib.import_module("scipy.special")
        return Modules({"np": np, "special": special, "stats": importlib.import_module("scipy.stats")})

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile: NumPy keeps subnormals."""
        del device
        return Profile.of(dtype)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return a view of that layout."""
        return LAYOUTS[layout](operand.values)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a copy."""
        del modules, device
        return np.array(values)

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return an array with rows of one number before its own."""
        return np.concatenate([np.full((rows, *tensor.shape[1:]), fill, tensor.dtype), tensor])

    def overwrite(self, modules: Modules, tensor: Any, other: Any) -> None:
        """Assign in place."""
        tensor[...] = other

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return an array as float64 values, with its dtype."""
        array = np.asarray(tensor)
        return Output(array.astype(np.float64), str(array.dtype))

    def differentiate(self, modules: Modules, function: Function, tensor: Any, upstream: Any) -> Any:
        """Raise: NumPy cannot differentiate."""
        raise NotImplementedError("NumPy cannot differentiate; declare a `gradient` for the implementation")

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Call ``scipy.special.log_softmax``."""
        return modules.special.log_softmax(tensor, axis=-1)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Sum p times ``scipy.special.log_softmax``: SciPy has no cross-entropy."""
        return -(call.target * modules.special.log_softmax(call.model, axis=-1)).sum(-1)

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Sum ``scipy.special.entr``."""
        return modules.special.entr(call.target).sum(-1)

    def relative_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``scipy.special.rel_entr``."""
        return modules.special.rel_entr(call.target, call.model)


class SciPy(NumPy):
    """NumPy arrays, passed to SciPy's functions."""

    name = "scipy"
