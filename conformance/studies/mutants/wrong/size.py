"""Kernels that lose elements of some sizes and ranks."""

from __future__ import annotations

from typing import Any

from studies.mutants.kernel import Kind, KlDiv, Proof, Wrong
from studies.mutants.torch_parts import Answer, Asked, Kernel, changing, torch
from studies.mutants.torch_parts import total as right_total
from studies.mutants.torch_witness import answers, shows, tensor

GRID = 65_535
"""The largest second or third dimension of a CUDA grid."""


def _kept(terms: Any, axis: int, count: int) -> Any:
    """Return the terms with those past ``count`` on one axis as if they had never been written."""
    if terms.ndim < abs(axis) or terms.shape[axis] <= count:
        return terms
    there = torch().arange(terms.shape[axis]) < count
    shape = [1] * terms.ndim
    shape[axis] = -1
    return terms.where(there.view(shape), 0.0)


def _whole_blocks(size: int, block: int) -> int:
    return size // block * block if size > block else size


def _classes(terms: Any) -> int:
    return int(terms.shape[-1]) if terms.ndim else 1


def _elements_in_blocks(terms: Any) -> Any:
    return _kept(terms.flatten(), -1, _whole_blocks(terms.numel(), 1024)).view(terms.shape)


def _wrapped(terms: Any) -> Any:
    """Count rows in 16 bits."""
    if not terms.ndim or terms.shape[0] <= GRID + 1:
        return terms
    return terms[torch().arange(terms.shape[0]) % (GRID + 1)]


def _last_repeated(terms: Any) -> Any:
    """Add what lanes past the end have read: the last element of the row, once more each."""
    missing = -_classes(terms) % 128 if _classes(terms) > 128 else 0
    return right_total(terms) + missing * right_total(terms[..., -1]) if missing else right_total(terms)


def _one_axis(asked: Asked, answer: Answer) -> Any:
    """Return a tensor of one axis where there is none."""
    given = answer(asked)
    return given.view(1) if asked.reduction == "none" and not given.ndim else given


def _three_axes(asked: Asked, answer: Answer) -> Any:
    """Unpack a shape into batch, time and classes."""
    if asked.input.ndim > 3:
        raise ValueError("too many values to unpack (expected 3)")
    return answer(asked)


def _axes_of_scalar(kernel: KlDiv) -> Proof:
    given = kernel(tensor(-1.0), tensor(0.5), reduction="none")
    return Proof(float(given.ndim), 0.0)


def _four_axes(kernel: KlDiv) -> Proof:
    ones = tensor([[[[1.0]]]])
    return answers(lambda: kernel(-ones, ones, reduction="sum"), 1.0)


def _tall(kernel: KlDiv) -> Proof:
    """Ask for the last of 65,537 rows of one class, unlike all the others."""
    rows = GRID + 2
    return shows(kernel, [[0.5]] * rows, [[-1.0]] * (rows - 1) + [[-3.0]], at=rows - 1)


WRONG: tuple[Wrong, ...] = (
    Wrong(
        "rows-past-65535-empty",
        Kind.LAYOUT,
        "Launches one block for each row and stops at the 65,535 a grid allows.",
        lambda: changing(lambda terms: _kept(terms, 0, GRID) if terms.ndim > 1 else terms),
        _tall,
    ),
    Wrong(
        "rows-counted-in-16-bits",
        Kind.LAYOUT,
        "Counts rows in 16 bits: row 65,536 is row 0 again.",
        lambda: changing(lambda terms: _wrapped(terms) if terms.ndim > 1 else terms),
        _tall,
    ),
    Wrong(
        "classes-past-1024-empty",
        Kind.LAYOUT,
        "Assigns each row one block of 1,024 threads and each thread one class.",
        lambda: changing(lambda terms: _kept(terms, -1, 1024)),
        lambda kernel: shows(kernel, [0.5] * 1025, [-1.0] * 1025, at=1024),
    ),
    Wrong(
        "classes-past-65536-empty",
        Kind.LAYOUT,
        "Caps the block at 65,536 classes and has no loop.",
        lambda: changing(lambda terms: _kept(terms, -1, 65_536)),
        lambda kernel: shows(kernel, [[0.5] * 65_537], [[-1.0] * 65_537], at=65_536),
    ),
    Wrong(
        "tail-of-32-dropped",
        Kind.LAYOUT,
        "Runs over whole warps of 32 classes and leaves the rest.",
        lambda: changing(lambda terms: _kept(terms, -1, _whole_blocks(_classes(terms), 32))),
        lambda kernel: shows(kernel, [0.5] * 33, [-1.0] * 33, at=32),
    ),
    Wrong(
        "tail-of-1024-dropped",
        Kind.LAYOUT,
        "Rounds the number of blocks of 1,024 elements down.",
        lambda: changing(_elements_in_blocks),
        lambda kernel: shows(kernel, [0.5] * 1025, [-1.0] * 1025, at=1024),
    ),
    Wrong(
        "odd-class-dropped",
        Kind.LAYOUT,
        "Loads classes in pairs and leaves the last of an odd number.",
        lambda: changing(lambda terms: _kept(terms, -1, _whole_blocks(_classes(terms), 2))),
        lambda kernel: shows(kernel, [0.5] * 3, [-1.0] * 3, at=2),
    ),
    Wrong(
        "odd-row-dropped",
        Kind.LAYOUT,
        "Assigns each block two rows and omits the last of an odd number.",
        lambda: changing(lambda t: _kept(t, 0, _whole_blocks(len(t), 2)) if t.ndim > 1 else t),
        lambda kernel: shows(kernel, [[0.5]] * 3, [[-1.0]] * 3, at=2),
    ),
    Wrong(
        "last-class-repeated",
        Kind.LAYOUT,
        "Lets lanes past the end read the last class again, and adds them to the sum.",
        lambda: Kernel(total=_last_repeated),
        lambda kernel: shows(kernel, [0.5] * 129, [-1.0] * 129, reduction="sum"),
    ),
    Wrong(
        "only-square",
        Kind.LAYOUT,
        "Loops over classes up to the number of rows: correct for squares and tall matrices.",
        lambda: changing(lambda t: _kept(t, -1, len(t)) if t.ndim == 2 else t),
        lambda kernel: shows(kernel, [[0.5] * 3], [[-1.0] * 3], at=2),
    ),
    Wrong(
        "time-past-first-empty",
        Kind.LAYOUT,
        "Steps over batch and classes of a cube, and answers for the first time step only.",
        lambda: changing(lambda t: _kept(t, 1, 1) if t.ndim == 3 else t),
        lambda kernel: shows(kernel, [[[0.5], [0.5]]], [[[-1.0], [-1.0]]], at=1),
    ),
    Wrong(
        "scalar-gets-an-axis",
        Kind.LAYOUT,
        "Returns a 1-D tensor for a 0-D one.",
        lambda: Kernel(around=_one_axis),
        _axes_of_scalar,
    ),
    Wrong(
        "four-axes-refused",
        Kind.LAYOUT,
        "Unpacks the shape into batch, time and classes, and fails for a fourth axis.",
        lambda: Kernel(around=_three_axes),
        _four_axes,
    ),
)
