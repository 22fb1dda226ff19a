"""The stored tables equal their definition; run this file to write them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mpmath

TABLES = Path(__file__).resolve().parents[2] / "kl_reference" / "bounds" / "tables.json"


def grid(value: Any, exponent: int) -> Any:
    """Round to the nearest multiple of 2^exponent."""
    return mpmath.nint(mpmath.ldexp(value, -exponent)) * mpmath.ldexp(1, exponent)


def cascade(value: Any, *exponents: int) -> list[str]:
    """Split a number into pieces on finer and finer grids; the remainder is the last piece."""
    pieces: list[str] = []
    for exponent in exponents:
        piece = grid(value, exponent)
        pieces.append(float(piece).hex())
        value -= piece
    return [*pieces, float(value).hex()]


def columns(rows: Iterable[list[str]]) -> list[list[str]]:
    """Turn rows of (high, low) into a column of highs and a column of lows."""
    return [list(column) for column in zip(*rows, strict=True)]


def tables() -> dict[str, Any]:
    """Compute every number of ``tables.json`` from its definition, with 60 digits.

    ``log``: for the cells f ≈ j/128, j = 91 … 181, a reciprocal c of at most 16 bits and −log c on the grid
    2^-41 plus the rest. ``exp``: 2^(j/64), and its step log(2)/64 in pieces of 31, 31 and 53 bits.
    """
    with mpmath.workdps(60):
        ln2 = mpmath.log(2)
        reciprocals = [grid(mpmath.mpf(128) / j, -15) for j in range(91, 182)]
        powers = [mpmath.power(2, mpmath.mpf(j) / 64) for j in range(64)]
        return {
            "log": {
                "first_cell": 91,
                "ln2": cascade(ln2, -41),
                "reciprocal": [float(c).hex() for c in reciprocals],
                "minus_log": columns(cascade(-mpmath.log(c), -41) for c in reciprocals),
            },
            "exp": {
                "steps_per_unit": float(64 / ln2).hex(),
                "step": cascade(ln2 / 64, -37, -68),
                "power": columns([float(p).hex(), float(p - mpmath.mpf(float(p))).hex()] for p in powers),
            },
        }


def test_tables_are_their_definition() -> None:
    """Every number in the tables is the correctly rounded value of its definition."""
    assert json.loads(TABLES.read_text(encoding="utf-8")) == tables()


def test_series_start_with_their_largest_term() -> None:
    """In every cell but that of 1, |log c| > |r| and |log c + r| > r²/2, so that quick_two_sum of them is exact."""
    with mpmath.workdps(60):
        half = mpmath.mpf(1) / 256
        for j, c in enumerate(map(float.fromhex, tables()["log"]["reciprocal"]), start=91):
            for f in (mpmath.mpf(j) / 128 - half, mpmath.mpf(j) / 128 + half):
                start, r = -mpmath.log(c), c * f - 1
                assert j == 128 or (abs(start) > abs(r) and abs(start + r) > r * r / 2), j
                assert abs(r) < mpmath.mpf(2) ** -7.4, j


if __name__ == "__main__":
    TABLES.write_text(json.dumps(tables(), indent=1) + "\n", encoding="utf-8")
