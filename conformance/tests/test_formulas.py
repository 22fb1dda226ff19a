"""What must hold is said in mathematics that a browser can set."""

from __future__ import annotations

import pytest

from kl_conformance.catalogue import REQUIREMENTS
from kl_reference.convention import Formula
from kl_reports.formula import formula

WRITTEN = {requirement.id: requirement.formula for requirement in REQUIREMENTS.values()}


@pytest.mark.parametrize("text", [*WRITTEN.values(), *(each.value for each in Formula)])
def test_every_formula_is_set_as_mathematics(text: str) -> None:
    """No formula of the catalogue falls back to its letters, and all but plain sentences hold mathematics."""
    drawn = formula(text)
    assert 'role="math"' not in drawn
    assert ("<math>" in drawn) is (text != "accumulate in float32 or wider, round once")
