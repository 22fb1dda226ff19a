"""C kernels of the divergence of rows, compiled by ``cc`` and called by ctypes: a correct one and a faulty one."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from kl_conformance.frameworks.call import Call
from kl_conformance.implementations.implementation import Implementation
from kl_reference.convention import Convention, Reduction, Side
from kl_reference.dtype import Dtype

SOURCE = Path(__file__).with_name("c_kl.c")
POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
MATRIX = (POINTER, SIZE, SIZE)


@cache
def library() -> ctypes.CDLL:
    """Compile the kernels, once per process."""
    built = Path(tempfile.mkdtemp()) / "c_kl.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(built), "-lm"], check=True)
    found = ctypes.CDLL(str(built))
    for kernel in (found.kl_rows, found.kl_rows_packed):
        kernel.argtypes, kernel.restype = (*MATRIX, *MATRIX, POINTER, SIZE, SIZE), None
    found.kl_rows_backward.argtypes = (*MATRIX, POINTER, POINTER, SIZE, SIZE)
    found.kl_rows_backward.restype = None
    return found


def matrix(array: Any) -> Any:
    """Return an array of any rank as rows of classes, a view where its strides allow."""
    return array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)


def address_and_strides(array: Any) -> tuple[int, int, int]:
    """Return the address and the strides in elements."""
    row, column = (step // array.itemsize for step in array.strides)
    return array.ctypes.data, row, column


def forward(kernel: str, modules: Any, call: Call) -> Any:
    """Return KL(P‖Q) of every row."""
    del modules
    p, log_q = matrix(call.target), matrix(call.model)
    if call.target.shape != call.model.shape or {p.dtype, log_q.dtype} != {np.dtype(np.float32)}:
        raise ValueError(f"two float32 arrays of one shape, not {call.target!r:.40} and {call.model!r:.40}")
    out = np.empty(len(p), np.float32)
    getattr(library(), kernel)(*address_and_strides(p), *address_and_strides(log_q), out.ctypes.data, *p.shape)
    return out.reshape(call.target.shape[:-1])


def backward(modules: Any, call: Call, side: Side, upstream: Any) -> Any:
    """Return the gradient of the rows' sum, weighted by the upstream gradient, by log q."""
    del modules, side
    p = matrix(call.target)
    above = np.ones(len(p), np.float32) if upstream is None else np.array(upstream).reshape(-1)
    by_log_q = np.empty(p.shape, np.float32)
    library().kl_rows_backward(*address_and_strides(p), above.ctypes.data, by_log_q.ctypes.data, *p.shape)
    return by_log_q.reshape(call.target.shape)


def declared(name: str, call: Callable[[Any, Call], Any]) -> Implementation:
    """Return the declaration of a kernel."""
    return Implementation(
        name=name,
        framework="numpy",
        package="numpy",
        convention=Convention(reductions={"none": Reduction.ROWS}, axis=-1),
        call=call,
        dtypes=(Dtype.FLOAT32,),
        gradients=frozenset({Side.MODEL}),
        gradient=backward,
        broadcasts=False,
    )


CORRECT = declared("c_kl.kl_rows", partial(forward, "kl_rows"))
PACKED = replace(CORRECT, name="c_kl.kl_rows_packed", call=partial(forward, "kl_rows_packed"))
