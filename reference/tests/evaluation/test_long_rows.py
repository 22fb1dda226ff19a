"""Rows so long that only 113-bit arithmetic is fast enough to check them."""

from typing import Any

import numpy as np
import pytest

from kl_audit import hard_inputs
from kl_audit.audit import SPACES
from kl_reference import Operand, Problem, Reduction, Space, answer


def wide(operand: Operand, quad: Any) -> tuple[Any, Any]:
    """Return p and log p of one row, to about 113 bits."""
    values = operand.values.astype(quad)
    if operand.space is Space.PROBABILITY:
        return values, np.log(values)
    if operand.space is Space.LOGITS:
        values = values - np.max(values)
        values = values - np.log(np.sum(np.exp(values)))
    return np.exp(values), values


@pytest.mark.parametrize("family", hard_inputs.FAMILIES)
@pytest.mark.parametrize(("target", "model"), SPACES)
def test_second_oracle_agrees(family: str, target: Space, model: Space, samples: int) -> None:
    """SLEEF's 113-bit arithmetic agrees on a row of 10,000 different classes, in the nightly profile of a million."""
    quad = pytest.importorskip("numpy_quaddtype").QuadPrecDType()
    length = 10 * samples
    p, q = hard_inputs.operands(np.random.default_rng(13), family, (1, length), target, model)
    result = answer(Problem(p, q, reduction=Reduction.ROWS))
    with np.errstate(all="ignore"):
        (weight, log_p), (_, log_q) = wide(p, quad), wide(q, quad)
        nothing = np.zeros_like(weight)
        truth = np.sum(np.where(weight == 0, nothing, weight * (log_p - log_q)))
        # Every factor and every sum has an error of a unit roundoff for each unit of the logarithms and for each
        # class; logarithms from a softmax have an error even if they are 0.
        size = np.abs(log_p) + np.abs(log_q) + (Space.LOGITS in (target, model))
        operand_size = np.where(weight == 0, nothing, weight * size * (size + 1))
        own = float(np.sum(operand_size)) * length * 2.0**-111
        error = abs(float(truth - result.value.astype(quad)[0] - result.tail.astype(quad)[0]))
    if np.isfinite(result.value[0]):
        assert error <= result.radius[0] + own
        # The oracle's own error must not decide.
        assert own <= 1e-20 * result.scale.condition[0]
