"""Every formula of the catalogue can be rendered as MathML."""

import pytest

from kl_conformance.requirements.catalogue import REQUIREMENTS
from kl_reference.convention import Formula
from kl_reports.page.formula import formula

FORMULAS = {requirement.id: requirement.formula for requirement in REQUIREMENTS.values()}


@pytest.mark.parametrize("text", [*FORMULAS.values(), *(each.value for each in Formula)])
def test_every_formula_is_rendered_as_mathematics(text: str) -> None:
    """No formula of the catalogue falls back to plain text, and all but plain sentences contain mathematics."""
    rendered = formula(text)
    assert 'role="math"' not in rendered
    assert ("<math>" in rendered) is (text != "accumulate in float32 or wider, round once")
