"""The numbers that logarithm and exponential are read from, made by tests/test_tables.py."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

import numpy as np

from kl_reference.enclosure import Array

_TABLES: Final[dict[str, Any]] = json.loads(
    files("kl_reference.bounds").joinpath("tables.json").read_text("utf-8")
)


def _column(numbers: list[str]) -> Array:
    """Read a list of hexadecimal floating-point numbers; the array is read-only."""
    column = np.array([float.fromhex(number) for number in numbers])
    column.flags.writeable = False
    return column


_LOG, _EXP = _TABLES["log"], _TABLES["exp"]

# log: f ≈ j/128 from j = FIRST_CELL on has the reciprocal RECIPROCAL[j − FIRST_CELL], of at most 16 bits.
FIRST_CELL: Final[int] = _LOG["first_cell"]
LN2_HIGH, LN2_LOW = (float.fromhex(piece) for piece in _LOG["ln2"])
RECIPROCAL: Final = _column(_LOG["reciprocal"])
MINUS_LOG_HIGH, MINUS_LOG_LOW = (_column(column) for column in _LOG["minus_log"])

# exp: 2^(j/64), and log(2)/64 in three pieces of which the first two have at most 31 bits.
STEPS_PER_UNIT: Final = float.fromhex(_EXP["steps_per_unit"])
STEP_1, STEP_2, STEP_3 = (float.fromhex(piece) for piece in _EXP["step"])
POWER_HIGH, POWER_LOW = (_column(column) for column in _EXP["power"])
