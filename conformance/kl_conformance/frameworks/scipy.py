"""SciPy: its functions take NumPy arrays."""

from __future__ import annotations

from kl_conformance.frameworks.numpy import NumPy


class SciPy(NumPy):
    """SciPy's functions on NumPy arrays."""

    name = "scipy"
