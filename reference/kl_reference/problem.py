"""Problem: exact operands and the requested quantity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """One distribution (or measure) exactly as an implementation receives it.

    ``values`` is an array in ``dtype.carrier`` whose every element is a number of ``dtype``.
    """

    values: NDArray[Any]
    space: Space
    dtype: Dtype

    @classmethod
    def of(cls, values: NDArray[Any], space: Space, dtype: Dtype | None = None) -> Operand:
        """Round ``values`` to ``dtype`` (by default their own) and return them as an operand.

        Raises
        ------
        ValueError
            The array's dtype is not a known floating-point format.
        """
        array = np.asarray(values)
        dtype = Dtype.of(array) if dtype is None else dtype
        return cls(dtype.round(array), space, dtype)

    def flushed(self) -> Operand:
        """Return the operand with every subnormal number of its dtype replaced by 0."""
        subnormal = np.abs(self.values) < self.dtype.least_normal
        return replace(self, values=np.where(subnormal, np.zeros_like(self.values), self.values))


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Exact inputs P (target) and Q (model), and everything else that determines the exact answer.

    Parameters
    ----------
    target, model
        The two operands; their shapes broadcast.
    formula, reduction
        The term and how the terms are reduced.
    axis
        The class axis of the broadcast shape, used by ``ROWS``, ``ROWMEAN``, logits and normalisation.
    clip, normalise, smoothing
        As in :class:`~kl_reference.convention.Convention`.
    layout
        Name of the memory layout of the operands; it does not affect the answer.
    """

    target: Operand
    model: Operand
    formula: Formula = Formula.PLAIN
    reduction: Reduction = Reduction.TERMS
    axis: int = -1
    clip: tuple[float, float] | None = None
    normalise: bool = False
    smoothing: float = 0.0
    layout: str = "contiguous"
    _id: list[str] = field(default_factory=list[str], init=False, repr=False)  # cached by `id`

    def side(self, side: Side) -> Operand:
        """Return the operand of that side."""
        return self.target if side is Side.TARGET else self.model

    @property
    def shape(self) -> tuple[int, ...]:
        """The broadcast shape of the two operands.

        Raises
        ------
        ValueError
            The shapes do not broadcast.
        """
        target, model = self.target.values.shape, self.model.values.shape
        return target if target == model else np.broadcast_shapes(target, model)

    @property
    def class_axis(self) -> int:
        """The class axis of the broadcast shape, counted from the end by :func:`class_axis`."""
        return class_axis(self.axis, self.shape)

    def flushed(self) -> Problem:
        """Return the problem with subnormal inputs replaced by 0, as flushing hardware reads them."""
        return replace(self, target=self.target.flushed(), model=self.model.flushed())

    @property
    def id(self) -> str:
        """A hash of the content: the same problem has the same id on every machine."""
        if not self._id:
            self._id.append(self._content_hash())
        return self._id[0]

    def _content_hash(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for operand in (self.target, self.model):
            little = operand.values.astype(operand.values.dtype.newbyteorder("<"), copy=False)
            head = f"{operand.space.name}|{operand.dtype.label}|{operand.values.shape}|"
            digest.update(head.encode())
            digest.update(np.ascontiguousarray(little).tobytes())
        tail = (self.formula.name, self.reduction.name, self.axis, self.clip, self.normalise, self.layout)
        digest.update(repr((*tail, self.smoothing) if self.smoothing else tail).encode())
        return digest.hexdigest()


def class_axis(axis: int, shape: tuple[int, ...]) -> int:
    """Return an axis counted from the end, −1 for the last; a scalar has one class.

    Raises
    ------
    ValueError
        The shape has no such axis.
    """
    rank = max(len(shape), 1)
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is out of range for the shape {shape}")
    return axis - rank if axis >= 0 else axis
