"""A test of the reference that cannot fail is worth nothing."""

from __future__ import annotations

import numpy as np
import pytest

from kl_audit.audit import AUDITS
from kl_audit.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_audit_notices(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every small fault in the reference puts some exact answer outside its radius, or stops it."""
    monkeypatch.setattr(mutant.owner, mutant.attribute, mutant.replacement)
    assert any(_fails(name) for name in AUDITS)


def _fails(name: str) -> bool:
    try:
        return not AUDITS[name](np.random.default_rng(3), 300) <= 1.0
    except (IndexError, ValueError):
        return True
