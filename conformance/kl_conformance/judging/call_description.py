"""Description of the call behind an answer: text for people, and fields from which code can be generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kl_conformance.judging.upstream import Upstream, UpstreamKind
from kl_reference.convention import Side, Space


@dataclass(frozen=True, slots=True)
class CallDescription:
    """The call behind an answer.

    Parameters
    ----------
    text
        The call as text for people.
    function
        Name of the implementation; empty where the answer needs more than one plain call.
    keywords
        Arguments other than the two tensors, by name, as source text.
    spaces
        The spaces in which it receives its operands.
    order
        The order of the two tensors.
    side
        The side with respect to which it is differentiated; None for a value.
    upstream
        The upstream gradient of the derivative; None for a value.
    """

    text: str
    function: str = ""
    keywords: Mapping[str, str] = field(default_factory=dict[str, str])
    spaces: Mapping[Side, Space] = field(default_factory=dict[Side, Space])
    order: tuple[Side, ...] = ()
    side: Side | None = None
    upstream: Upstream | None = None

    def differentiated(self, side: Side, upstream: Upstream | None = None) -> CallDescription:
        """Return the description of this call's gradient with respect to a side."""
        text = f"gradient by the {side.value} of {self.text}"
        return replace(self, text=text, side=side, upstream=upstream or Upstream())

    def varied(self, after: str = "", *, before: str = "", side: Side | None = None) -> CallDescription:
        """Return the description of a variation that needs more than this plain call: its text with additions."""
        return CallDescription(f"{before}{self.text}{after}", side=side or self.side)


def encode_call(call: CallDescription) -> Mapping[str, Any]:
    """Return a description as plain data, without its upstream gradient."""
    return {
        "function": call.function,
        "keywords": dict(call.keywords),
        "spaces": {side.value: space.value for side, space in call.spaces.items()},
        "order": [side.value for side in call.order],
        "side": None if call.side is None else call.side.value,
        "text": call.text,
    }


def encode_upstream(upstream: Upstream | None) -> Mapping[str, str] | None:
    """Return an upstream gradient as plain data."""
    return None if upstream is None else {"kind": upstream.kind.value, "layout": upstream.layout}


def decode_call(witness: Mapping[str, Any]) -> CallDescription:
    """Return the description of the call that a witness stores.

    Raises
    ------
    KeyError, TypeError, ValueError
        The witness stores none.
    """
    call, upstream = witness["call"], witness["upstream"]
    return CallDescription(
        text=str(call["text"]),
        function=str(call["function"]),
        keywords={str(name): str(value) for name, value in call["keywords"].items()},
        spaces={Side(side): Space(space) for side, space in call["spaces"].items()},
        order=tuple(map(Side, call["order"])),
        side=None if call["side"] is None else Side(call["side"]),
        upstream=None if upstream is None else Upstream(UpstreamKind(upstream["kind"]), upstream["layout"]),
    )
