"""Rows so long that nothing but arithmetic of 113 bits can follow."""

from __future__ import annotations

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
    """SLEEF's 113-bit arithmetic agrees on a row of 10,000 classes, nightly of a million, all different."""
    quad = pytest.importorskip("numpy_quaddtype").QuadPrecDType()
    length = 10 * samples
    p, q = hard_inputs.operands(np.random.default_rng(13), family, (1, length), target, model)
    result = answer(Problem(p, q, reduction=Reduction.ROWS))
    with np.errstate(all="ignore"):
        (weight, log_p), (_, log_q) = wide(p, quad), wide(q, quad)
        nothing = np.zeros_like(weight)
        truth = np.sum(np.where(weight == 0, nothing, weight * (log_p - log_q)))
        # Every factor and every sum errs by a roundoff for each unit of the logarithms and for each class; those of
        # a softmax err even where they are 0.
        size = np.abs(log_p) + np.abs(log_q) + (Space.LOGITS in (target, model))
        made_of = np.where(weight == 0, nothing, weight * size * (size + 1))
        own = float(np.sum(made_of)) * length * 2.0**-111
        error = abs(float(truth - result.value.astype(quad)[0] - result.tail.astype(quad)[0]))
    if np.isfinite(result.value[0]):
        assert error <= result.radius[0] + own
        # Lest the oracle's own error be what decides.
        assert own <= 1e-20 * result.scale.condition[0]
