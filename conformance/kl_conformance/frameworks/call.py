"""Call: the Protocol of a function under test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kl_reference.convention import Side, Space
from kl_reference.dtype import Dtype


@dataclass(frozen=True, slots=True)
class Call:
    """One call as an implementation receives it.

    ``target`` and ``model`` are tensors of the framework; ``reduction`` is the implementation's own name for
    the reduction and ``axis`` the class axis, each None for the implementation's default. ``weights`` (one per row)
    and ``mask`` (1 for the elements to include, else 0) are tensors, or None where rows and elements count alike;
    ``options`` are further arguments by the implementation's own names, ``order`` is the order of the two tensors.
    """

    target: Any
    model: Any
    target_space: Space
    model_space: Space
    reduction: str | None
    axis: int | None
    dtype: Dtype
    weights: Any = None
    mask: Any = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    order: tuple[Side, Side] = (Side.MODEL, Side.TARGET)

    @property
    def arguments(self) -> tuple[Any, Any]:
        """The two tensors in the order that the Convention declares."""
        first, second = (self.target if side is Side.TARGET else self.model for side in self.order)
        return first, second

    @property
    def log_target(self) -> bool:
        """Whether the target is passed as log-probabilities."""
        return self.target_space is Space.LOG

    @property
    def keywords(self) -> dict[str, Any]:
        """``reduction=…`` and ``axis=…`` where they are not the default, and the options."""
        given = {"reduction": self.reduction, "axis": self.axis}
        return {name: value for name, value in given.items() if value is not None} | dict(self.options)
