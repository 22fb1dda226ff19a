"""The exact answer is inside every enclosure."""

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kl_audit import hard_inputs
from kl_audit.audit import AUDITS, SPACES
from kl_reference import Dtype, Formula, Operand, Problem, Reduction, Side, Space, answer, gradient

# The accuracy of a float64 answer is limited by the least subnormal numbers, even with a radius of 0.
U64 = Dtype.FLOAT64.roundoff
FLOOR = 64.0 * Dtype.FLOAT64.least_subnormal


@pytest.mark.parametrize("name", AUDITS)
def test_exact_answer_is_enclosed(name: str, samples: int) -> None:
    """Every answer is within its radius of the value computed with 70 digits."""
    assert AUDITS[name](np.random.default_rng(20240229), samples) <= 1.0


@pytest.mark.parametrize("formula", Formula)
@pytest.mark.parametrize(("target", "model"), SPACES)
@pytest.mark.parametrize("reduction", [Reduction.TERMS, Reduction.ROWS])
def test_radius_is_narrow(formula: Formula, target: Space, model: Space, reduction: Reduction) -> None:
    """A radius is at most a thousandth of the float64 rounding error of the same problem."""
    rng = np.random.default_rng(5)
    for family in hard_inputs.FAMILIES:
        if family in ("bits", "apart"):
            continue  # float64 and its error scales overflow in these families
        pair = hard_inputs.operands(rng, family, (40, 7), target, model)
        result = answer(Problem(*pair, formula, reduction))
        loss = U64 * (result.scale.condition + result.scale.fixed)
        assert np.all(result.radius <= 1e-3 * loss + FLOOR * result.scale.count), family


@pytest.mark.parametrize("family", hard_inputs.FAMILIES)
@pytest.mark.parametrize(("target", "model"), [pair for pair in SPACES if Space.LOGITS not in pair])
def test_second_oracle_agrees(family: str, target: Space, model: Space, samples: int) -> None:
    """SLEEF's 113-bit arithmetic, which shares no code with mpmath or with the reference, agrees."""
    quad = pytest.importorskip("numpy_quaddtype").QuadPrecDType()
    rng = np.random.default_rng(7)
    p, q = hard_inputs.operands(rng, family, (samples,), target, model)
    result = answer(Problem(p, q))

    def both(operand: Operand) -> tuple[NDArray[Any], NDArray[Any]]:
        wide = operand.values.astype(quad)
        return (wide, np.log(wide)) if operand.space is Space.PROBABILITY else (np.exp(wide), wide)

    with np.errstate(all="ignore"):
        (weight, log_p), (_, log_q) = both(p), both(q)
        truth = np.where(weight == 0, np.zeros_like(weight), weight * (log_p - log_q))
        error = np.abs((truth - result.value.astype(quad)) - result.tail.astype(quad)).astype(np.float64)
        # 113 bits are not exact, either: their error is 2^-108 of the size of the operands of the term.
        operand_size = np.abs(weight) * (np.abs(log_p) + np.abs(log_q) + 1)
        own = np.where(weight == 0, np.zeros_like(weight), operand_size).astype(np.float64) * 2.0**-108
    known = np.isfinite(result.value)
    assert np.all(error[known] <= result.radius[known] + own[known])


def test_answers_have_the_same_bits_everywhere() -> None:
    """The bits are the same on every IEEE 754 machine: no libm, no fused operation, no variable order of summation."""
    rng = np.random.default_rng(11)
    inputs = {space: rng.uniform(-20.0, 0.0, (2, 30, 17)) for space in (Space.LOG, Space.LOGITS)}
    inputs[Space.PROBABILITY] = np.stack([hard_inputs.bits(rng, (30, 17)), rng.uniform(size=(30, 17))])
    digest = hashlib.sha256()
    for target, model in SPACES:
        pair = Operand.of(inputs[target][0], target), Operand.of(inputs[model][1], model)
        for reduction in Reduction:
            problem = Problem(*pair, reduction=reduction)
            for result in (answer(problem), *(gradient(problem, side) for side in Side)):
                digest.update(result.value.astype("<f8").tobytes() + result.tail.astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == "42b3796c200f02df"
