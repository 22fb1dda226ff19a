"""A readable witness: values as bits, hex float and decimal; any key may be missing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from kl_reports.analysis.wording import one_line, shorten
from kl_reports.runfile.bits import decode

MOST = 16  # values of one array that are shown; the rest are counted
_LONGEST = 4000  # characters of one text that are shown
_TEXTS = ("problem", "pair", "case", "formula", "reduction", "dtype", "note", "reproducer", "link")


@dataclass(frozen=True, slots=True)
class ReadableValues:
    """One value in three notations; only ``bits`` if the pattern cannot be decoded."""

    bits: str
    hex: str
    decimal: str
    nan: bool = False

    @property
    def short(self) -> str:
        """The decimal; for a NaN without sign and payload."""
        return "NaN" if self.nan else self.decimal


@dataclass(frozen=True, slots=True)
class Values:
    """An array: its space and shape if known, its first values, and how many it has."""

    space: str
    shape: str
    shown: tuple[ReadableValues, ...]
    total: int

    @property
    def more(self) -> int:
        """Values that are not shown."""
        return self.total - len(self.shown)

    def brief(self, most: int = 8) -> str:
        """Return the values as one short text, such as ``[0.5, 0.5]``."""
        texts = [shorten(value.decimal, 40) for value in self.shown[:most]]
        rest = [f"… {self.total - most} more"] if self.total > most else []
        return f"[{', '.join([*texts, *rest])}]"

    @property
    def described(self) -> str:
        """The values with their space and shape, such as ``[0.5, 0.5] (probability, 2)``."""
        about = ", ".join(filter(None, (self.space, self.shape)))
        return one_line(self.brief()) + (f" ({one_line(about)})" if about else "")


@dataclass(frozen=True, slots=True)
class Witness:
    """The smallest problem found that fails a requirement, as text; empty where nothing is known.

    ``plain``: the formula uses the operands unchanged, neither clipped nor normalised nor smoothed. ``side``: the
    argument of a derivative, empty for a value.
    """

    problem: str
    pair: str
    case: str
    formula: str
    reduction: str
    dtype: str
    layout: str
    call: str
    side: str
    note: str
    reproducer: str
    link: str
    at: str
    worst: int | None
    plain: bool
    target: Values | None
    model: Values | None
    got: Values | None
    right: Values | None
    allowed: Values | None

    def measured(self) -> tuple[str, str, str]:
        """Return :meth:`answer`, or empty texts if the judgement was not about a number."""
        got, right, allowed = (each.short if each else "" for each in self._worst())
        if not right or got == right == "NaN":
            return "", "", ""
        return got, right, "" if allowed in {"0.0", "NaN"} else allowed

    def answer(self) -> tuple[str, str, str]:
        """Return got, right and allowed at the worst element as decimals; empty where unknown."""
        got, right, allowed = (each.decimal if each else "" for each in self._worst())
        return got, right, allowed

    def _worst(self) -> list[ReadableValues | None]:
        place = self.worst or 0
        return [
            values.shown[min(place, len(values.shown) - 1)] if values and values.shown else None
            for values in (self.got, self.right, self.allowed)
        ]


def show(witness: Mapping[str, Any]) -> Witness:
    """Return a readable witness; keys that are missing or of another type are empty."""
    target, model = _argument(witness.get("target")), _argument(witness.get("model"))
    place = [entry for entry in _list(witness.get("at")) or [] if isinstance(entry, int)]
    call = _object(witness.get("call"))
    return Witness(
        **{name: _text(witness.get(name)) for name in _TEXTS},
        layout=_layout(_object(witness.get("layout"))),
        call=_text(call.get("text")),
        side=_text(call.get("side")),
        at=", ".join(map(str, place[:8])),
        worst=_flat(place, witness),
        plain=not any(witness.get(name) for name in ("clip", "normalise", "smoothing")),
        target=target,
        model=model,
        got=_array(witness.get("got")),
        right=_array(witness.get("right")),
        allowed=_array(witness.get("allowed")),
    )


def described(
    witness: Witness, *, operands: bool = True, call: bool = True, numbers: bool = True, bits: bool = False
) -> list[str]:
    """Return a witness as lines of text: operands with their memory layout, call, and the measured numbers.

    ``numbers`` are the answer and the expected value, the allowed error is always included; with ``bits`` the operands
    are included as bit patterns as well.
    """
    lines: list[str] = []
    if operands:
        lines += [
            f"{name} = {values.described}" + (f" {' '.join(each.bits for each in values.shown)}" if bits else "")
            for name, values in (("P", witness.target), ("Q", witness.model))
            if values is not None
        ]
        lines += [f"memory layout: {one_line(witness.layout)}"] if witness.layout else []
    lines += [f"call: {one_line(witness.call)}"] if call and witness.call else []
    got, right, allowed = witness.measured()
    limit = [f"allowed error {_rough(allowed)}"] if allowed else []
    answer = [f"got {one_line(got)}", f"expected {one_line(right)}"] if numbers and right else []
    return [*lines, *([", ".join(answer + limit)] if answer or limit else [])]


def _rough(number: str) -> str:
    """Return a decimal with two significant digits."""
    try:
        return f"{float(number):.2g}"
    except ValueError:
        return one_line(number)


def _layout(layout: Mapping[str, Any]) -> str:
    """Return the memory layouts of both operands; empty if both are contiguous."""
    names = dict.fromkeys(_text(layout.get(side)) or "contiguous" for side in ("target", "model"))
    return "" if [*names] == ["contiguous"] else "/".join(names)


def _object(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return shorten(value, _LONGEST) if isinstance(value, str) else ""


def _argument(value: Any) -> Values | None:
    if not isinstance(value, dict):
        return None
    data: dict[str, Any] = value
    shape = _list(data.get("shape"))
    size = "" if shape is None else " × ".join(map(str, shape[:8])) or "scalar"
    return _array(data.get("bits"), _text(data.get("space")), size)


def _array(value: Any, space: str = "", shape: str = "") -> Values | None:
    entries = _list(value)
    if entries is None:
        return None
    return Values(space, shape, tuple(_shown(str(entry)) for entry in entries[:MOST]), len(entries))


def _shown(bits: str) -> ReadableValues:
    try:
        number = decode(bits)
    except ValueError:
        raw = shorten(bits, 80)
        return ReadableValues(raw, "", raw)
    return ReadableValues(bits, number.hex, number.decimal, math.isnan(number.value))


def _flat(place: list[int], witness: Mapping[str, Any]) -> int | None:
    """Return the index into ``got`` that ``at`` denotes, if it is among the values shown."""
    total = len(_list(witness.get("got")) or [])
    flat = place[0] if len(place) == 1 else None
    if len(place) > 1 and isinstance(target := witness.get("target"), dict):
        sizes = _list(cast("dict[str, Any]", target).get("shape")) or []
        whole = all(isinstance(size, int) for size in sizes)
        if whole and len(sizes) == len(place) and math.prod(sizes) == total:
            flat = 0
            for index, size in zip(place, sizes, strict=True):
                flat = flat * size + index
    return flat if flat is not None and 0 <= flat < min(total, MOST) else None


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None
