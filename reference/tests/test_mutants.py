"""The audits detect faults of the reference."""

import numpy as np
import pytest

from kl_audit.audit import AUDITS
from kl_audit.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_audits_detect_the_mutant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every small fault puts some exact answer outside its radius, or raises an error."""
    monkeypatch.setattr(mutant.owner, mutant.attribute, mutant.replacement)
    assert any(_fails(name) for name in AUDITS)


def _fails(name: str) -> bool:
    try:
        return not AUDITS[name](np.random.default_rng(3), 300) <= 1.0
    except (IndexError, ValueError):
        return True
