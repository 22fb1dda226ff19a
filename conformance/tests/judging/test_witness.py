"""A witness stores a failure bit for bit."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kl_cases.bits import decode
from kl_cases.pair import Measure, Pair
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.judgement import Judgement
from kl_conformance.judging.witness import decode_pair, encode_pair, witness
from kl_conformance_testkit.subjects import pair
from kl_reference.convention import Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand, Problem


def failing(operand: Operand) -> Judgement:
    """Return a failed judgement of a call with an operand on both sides."""
    return judge.failed(Problem(operand, operand), CallDescription("kl(p, q)"), "seen")


@pytest.mark.parametrize("dtype", Dtype)
@given(st.data())
def test_operands_come_back_bit_for_bit(dtype: Dtype, data: st.DataObject) -> None:
    """Every number of every format (subnormals, −0, infinities, NaN with its payload) survives a run file."""
    width = dtype.carrier.itemsize * 8
    patterns = data.draw(st.lists(st.integers(0, 2**width - 1), min_size=6, max_size=6))
    numbers = np.array(patterns, dtype=f"u{width // 8}").view(dtype.carrier).reshape(2, 3)
    values: NDArray[Any] = dtype.round(numbers) if dtype is Dtype.BFLOAT16 else numbers
    operand = Operand(values, Space.LOG, dtype)
    seen = witness(failing(operand), pair([1.0], [1.0]))["target"]
    back, kind = decode(seen["bits"])
    assert kind is dtype
    assert seen["space"] == "log-probability"
    assert seen["shape"] == [2, 3]
    unsigned = f"u{width // 8}"
    quiet = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    same = back.reshape(2, 3).view(unsigned) == values.view(unsigned)
    assert np.all(same | np.isnan(quiet))
    assert np.array_equal(back.reshape(2, 3), values, equal_nan=True)


def test_answers_come_back_bit_for_bit() -> None:
    """The answer, the expected value and the allowed error are stored as float64, NaN and −0 included."""
    numbers = np.array([np.nan, -0.0, np.inf, 5e-324])
    operand = Operand.of(np.ones(4), Space.PROBABILITY)
    judgement = replace(failing(operand), answer=numbers, expected=-numbers, allowed=numbers, at=(2,))
    seen = witness(judgement, pair([1.0], [1.0]))
    for name, expected in (("got", numbers), ("right", -numbers), ("allowed", numbers)):
        back, kind = decode(seen[name])
        assert kind is Dtype.FLOAT64
        assert back.tobytes() == expected.tobytes()
    assert seen["at"] == [2]


def test_a_witness_names_its_origin() -> None:
    """A witness names problem, pair, case, call, note and link; what it lacks is left out."""
    operand = Operand.of(np.ones((1, 2), np.float32), Space.PROBABILITY)
    plain = Pair(Measure(np.ones((1, 2)), Space.PROBABILITY), Measure(np.ones((1, 2)), Space.PROBABILITY))
    judgement = failing(operand)
    seen = witness(judgement, replace(plain, origin="a thread"))
    assert seen["problem"] == judgement.problem.id
    assert seen["pair"] == plain.id
    assert (seen["origin"], seen["call"]["text"], seen["note"]) == ("a thread", "kl(p, q)", "seen")
    assert (seen["kind"], seen["layout"]) == ("number", {"target": "contiguous", "model": "contiguous"})
    assert seen["dtype"] == "float32"
    assert seen["case"] is None
    assert "link" not in seen
    known = witness(judgement, plain, case="support/x", link="https://example.org")
    assert (known["case"], known["link"]) == ("support/x", "https://example.org")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6), st.sampled_from(Space))
def test_a_pair_comes_back_bit_for_bit(patterns: list[int], space: Space) -> None:
    """A pair in a run file is decoded to the same pair: numbers, spaces, shapes and axis."""
    numbers = np.array(patterns, dtype=np.uint64).view(np.float64)
    plain = Pair(Measure(numbers[:3].reshape(3, 1), space), Measure(numbers[3:].reshape(3, 1), Space.LOG), axis=0)
    back = decode_pair(json.loads(json.dumps(encode_pair(plain))))
    assert back.id == plain.id
    assert back.axis == plain.axis
    for side in ("p", "q"):
        assert getattr(back, side).space is getattr(plain, side).space
        assert np.array_equal(getattr(back, side).values, getattr(plain, side).values, equal_nan=True)


def test_a_pair_without_elements_comes_back() -> None:
    """A pair without rows is encoded as well."""
    empty = Pair(Measure(np.zeros((0, 3)), Space.PROBABILITY), Measure(np.zeros((0, 3)), Space.LOG))
    assert decode_pair(encode_pair(empty)).shape == (0, 3)


@pytest.mark.parametrize("damage", [{}, {"p": 1, "q": 1, "axis": 0}, {"p": {}, "q": {}, "axis": -1}])
def test_a_damaged_pair_is_an_error(damage: dict[str, Any]) -> None:
    """Data that are no encoded pair raise a ValueError that describes them."""
    with pytest.raises(ValueError, match="not an encoded pair"):
        decode_pair(damage)
