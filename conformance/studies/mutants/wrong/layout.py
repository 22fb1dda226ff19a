"""Mutants that assume another memory layout."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Kernel, identity, torch
from studies.mutants.torch_witness import shows

P = [[0.5, 0.3, 0.2], [0.1, 0.25, 0.65]]
LOG_Q = [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]


def _rowwise(shape: Any) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _reading(read: Callable[[Any], Any]) -> Callable[[], KlDiv]:
    """Make a kernel that reads both tensors with a given function."""
    return lambda: Kernel(before=lambda model, target: (read(model), read(target)))


def _as_contiguous(tensor: Any) -> Any:
    return tensor.as_strided(tensor.shape, _rowwise(tensor.shape), tensor.storage_offset())


def _from_the_start(tensor: Any) -> Any:
    return tensor.as_strided(tensor.shape, tensor.stride(), 0)


def _rows_without_gaps(tensor: Any) -> Any:
    return _as_contiguous(tensor) if tensor.ndim > 1 and tensor.stride(-1) == 1 else tensor


def _classes_side_by_side(tensor: Any) -> Any:
    return tensor.as_strided(tensor.shape, (*tensor.stride()[:-1], 1)) if tensor.ndim else tensor


def _cube_as_contiguous(tensor: Any) -> Any:
    return _as_contiguous(tensor) if tensor.ndim > 2 else tensor


def _first_row_of_expanded(tensor: Any) -> Any:
    if tensor.ndim < 2 or tensor.stride(0) or tensor.shape[0] == 1:
        return tensor
    return torch().cat([tensor[:1], torch().zeros_like(tensor[1:])])


def _target_like_input(model: Any, target: Any) -> tuple[Any, Any]:
    if model.shape != target.shape:
        return model, target
    return model, target.as_strided(target.shape, model.stride(), target.storage_offset())


def _stored_by_rows(call: Call, answer: Compute) -> Any:
    terms, shape = answer(call), call.input.shape
    if call.reduction != "none" or terms.shape != shape:
        return terms
    strides = torch().empty_like(call.input).stride()
    return terms.contiguous().as_strided(shape, strides)


def _modulo(model: Any, target: Any) -> tuple[Any, Any]:
    if not target.numel() or target.numel() >= model.numel():
        return model, target
    # The shapes must broadcast before anything is read.
    torch().broadcast_shapes(model.shape, target.shape)
    index = torch().arange(model.numel()) % target.numel()
    return model, target.flatten()[index].view(model.shape)


def _squeezed(model: Any, target: Any) -> tuple[Any, Any]:
    return (model.squeeze(), target.squeeze()) if model.shape == target.shape else (model, target)


def _transposed(tensor: Any) -> Any:
    return tensor.t().contiguous().t()


def _cycled(tensor: Any) -> Any:
    """Return a copy of a cube with its last axis first in memory."""
    return tensor.permute(2, 0, 1).contiguous().permute(1, 2, 0)


def _apart(tensor: Any) -> Any:
    """Return a copy with another number after each element."""
    return torch().stack([tensor, tensor - 0.125], -1)[..., 0]


def _padded(tensor: Any) -> Any:
    """Return a copy with other numbers after each row."""
    return torch().cat([tensor, tensor - 0.125], -1)[..., : tensor.shape[-1]]


def _within(tensor: Any) -> Any:
    """Return a copy with other numbers before the first element."""
    return torch().cat([tensor[:1] - 0.125, tensor])[1:]


def _on_first_row(tensor: Any) -> Any:
    return tensor[:1].expand(tensor.shape)


def _lies(lay: Callable[[Any], Any], model: Callable[[Any], Any] | None = None) -> Callable[[KlDiv], Proof]:
    return lambda kernel: shows(kernel, P, LOG_Q, at=4, lay=lay, lay_model=model)


_layout = partial(Mutant, FaultKind.LAYOUT)

MUTANTS: dict[str, Mutant] = {
    "strides-ignored": _layout(
        "Reads both tensors as if they were contiguous.", _reading(_as_contiguous), _lies(_transposed)
    ),
    "offset-ignored": _layout(
        "Reads from where the storage begins, not from where the tensor does.",
        _reading(_from_the_start),
        _lies(_within),
    ),
    "row-stride-ignored": _layout(
        "Uses the number of classes as the distance between rows: padded rows are misread.",
        _reading(_rows_without_gaps),
        _lies(_padded),
    ),
    "class-stride-ignored": _layout(
        "Passes the stride of rows to the kernel and assumes that classes are contiguous.",
        _reading(_classes_side_by_side),
        _lies(_apart),
    ),
    "strides-of-cubes-ignored": _layout(
        "Flattens three axes or more in memory order; matrices are correct.",
        _reading(_cube_as_contiguous),
        lambda kernel: shows(kernel, [P, P], [LOG_Q, P], at=4, lay=_cycled),
    ),
    "expanded-rows-empty": _layout(
        "Copies a tensor of stride 0 by its storage: all rows but the first are empty.",
        _reading(_first_row_of_expanded),
        _lies(_on_first_row),
    ),
    "target-read-like-input": _layout(
        "Reads the target by the input's strides.",
        lambda: Kernel(before=_target_like_input),
        _lies(identity, _transposed),
    ),
    "answer-stored-by-rows": _layout(
        "Allocates the answer like the input, transposed, and writes it row after row.",
        lambda: Kernel(around=_stored_by_rows),
        _lies(_transposed),
    ),
    "broadcast-modulo": _layout(
        "Broadcasts a smaller target by running over it again, correct for a row and wrong for a column.",
        lambda: Kernel(before=_modulo),
        lambda kernel: shows(kernel, [[0.25], [0.5]], [[-1.0, -2.0], [-3.0, -4.0]], at=1),
    ),
    "axes-of-one-squeezed": _layout(
        'Squeezes both tensors, so that the "batchmean" of a batch of one divides by the classes.',
        lambda: Kernel(before=_squeezed),
        lambda kernel: shows(kernel, [[0.5, 0.5]], [[-1.0, -2.0]], reduction="batchmean"),
    ),
}
