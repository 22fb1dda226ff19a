"""Mutants that lose elements at some sizes and ranks."""

from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Kernel, changing, torch
from studies.mutants.torch_parts import total as right_total
from studies.mutants.torch_witness import answers, shows, tensor

GRID = 65_535
"""The largest second or third dimension of a CUDA grid."""


def _kept(terms: Any, axis: int, count: int) -> Any:
    """Return the terms with 0 past ``count`` on one axis, as if never written."""
    if terms.ndim < abs(axis) or terms.shape[axis] <= count:
        return terms
    inside = torch().arange(terms.shape[axis]) < count
    shape = [1] * terms.ndim
    shape[axis] = -1
    return terms.where(inside.view(shape), 0.0)


def _whole_blocks(size: int, block: int) -> int:
    return size // block * block if size > block else size


def _classes(terms: Any) -> int:
    return int(terms.shape[-1]) if terms.ndim else 1


def _elements_in_blocks(terms: Any) -> Any:
    return _kept(terms.flatten(), -1, _whole_blocks(terms.numel(), 1024)).view(terms.shape)


def _wrapped(terms: Any) -> Any:
    if not terms.ndim or terms.shape[0] <= GRID + 1:
        return terms
    return terms[torch().arange(terms.shape[0]) % (GRID + 1)]


def _last_repeated(terms: Any) -> Any:
    missing = -_classes(terms) % 128 if _classes(terms) > 128 else 0
    return right_total(terms) + missing * right_total(terms[..., -1]) if missing else right_total(terms)


def _one_axis(call: Call, answer: Compute) -> Any:
    result = answer(call)
    return result.view(1) if call.reduction == "none" and not result.ndim else result


def _three_axes(call: Call, answer: Compute) -> Any:
    if call.input.ndim > 3:
        raise ValueError("too many values to unpack (expected 3)")
    return answer(call)


def _axes_of_scalar(kernel: KlDiv) -> Proof:
    result = kernel(tensor(-1.0), tensor(0.5), reduction="none")
    return Proof(float(result.ndim), 0.0)


def _four_axes(kernel: KlDiv) -> Proof:
    ones = tensor([[[[1.0]]]])
    return answers(lambda: kernel(-ones, ones, reduction="sum"), 1.0)


def _tall(kernel: KlDiv) -> Proof:
    """Prove by the last of 65,537 rows of one class, which differs from the others."""
    rows = GRID + 2
    return shows(kernel, [[0.5]] * rows, [[-1.0]] * (rows - 1) + [[-3.0]], at=rows - 1)


_layout = partial(Mutant, FaultKind.LAYOUT)

MUTANTS: dict[str, Mutant] = {
    "rows-past-65535-empty": _layout(
        "Launches one block for each row and stops at the 65,535 a grid allows.",
        lambda: changing(lambda terms: _kept(terms, 0, GRID) if terms.ndim > 1 else terms),
        _tall,
    ),
    "rows-counted-in-16-bits": _layout(
        "Counts rows in 16 bits: row 65,536 is row 0 again.",
        lambda: changing(lambda terms: _wrapped(terms) if terms.ndim > 1 else terms),
        _tall,
    ),
    "classes-past-1024-empty": _layout(
        "Assigns each row one block of 1,024 threads and each thread one class.",
        lambda: changing(lambda terms: _kept(terms, -1, 1024)),
        lambda kernel: shows(kernel, [0.5] * 1025, [-1.0] * 1025, at=1024),
    ),
    "classes-past-65536-empty": _layout(
        "Caps the block at 65,536 classes and has no loop.",
        lambda: changing(lambda terms: _kept(terms, -1, 65_536)),
        lambda kernel: shows(kernel, [[0.5] * 65_537], [[-1.0] * 65_537], at=65_536),
    ),
    "tail-of-32-dropped": _layout(
        "Processes whole warps of 32 classes and omits the rest.",
        lambda: changing(lambda terms: _kept(terms, -1, _whole_blocks(_classes(terms), 32))),
        lambda kernel: shows(kernel, [0.5] * 33, [-1.0] * 33, at=32),
    ),
    "tail-of-1024-dropped": _layout(
        "Rounds the number of blocks of 1,024 elements down.",
        lambda: changing(_elements_in_blocks),
        lambda kernel: shows(kernel, [0.5] * 1025, [-1.0] * 1025, at=1024),
    ),
    "odd-class-dropped": _layout(
        "Loads classes in pairs and omits the last of an odd number.",
        lambda: changing(lambda terms: _kept(terms, -1, _whole_blocks(_classes(terms), 2))),
        lambda kernel: shows(kernel, [0.5] * 3, [-1.0] * 3, at=2),
    ),
    "odd-row-dropped": _layout(
        "Assigns each block two rows and omits the last of an odd number.",
        lambda: changing(lambda t: _kept(t, 0, _whole_blocks(len(t), 2)) if t.ndim > 1 else t),
        lambda kernel: shows(kernel, [[0.5]] * 3, [[-1.0]] * 3, at=2),
    ),
    "last-class-repeated": _layout(
        "Reads the last class again in lanes past the end, and adds them to the sum.",
        lambda: Kernel(total=_last_repeated),
        lambda kernel: shows(kernel, [0.5] * 129, [-1.0] * 129, reduction="sum"),
    ),
    "only-square": _layout(
        "Loops over classes up to the number of rows: correct for squares and tall matrices.",
        lambda: changing(lambda t: _kept(t, -1, len(t)) if t.ndim == 2 else t),
        lambda kernel: shows(kernel, [[0.5] * 3], [[-1.0] * 3], at=2),
    ),
    "time-past-first-empty": _layout(
        "Steps over batch and classes of a cube, and computes the first time step only.",
        lambda: changing(lambda t: _kept(t, 1, 1) if t.ndim == 3 else t),
        lambda kernel: shows(kernel, [[[0.5], [0.5]]], [[[-1.0], [-1.0]]], at=1),
    ),
    "scalar-gets-an-axis": _layout(
        "Returns a 1-D tensor for a 0-D one.", lambda: Kernel(around=_one_axis), _axes_of_scalar
    ),
    "four-axes-refused": _layout(
        "Unpacks the shape into batch, time and classes, and fails for a fourth axis.",
        lambda: Kernel(around=_three_axes),
        _four_axes,
    ),
}
