"""What Triton's interpreter does to numbers, which is no kernel's fault."""

from __future__ import annotations

import os
import sys

from packaging.specifiers import SpecifierSet

from kl_conformance import registry
from kl_conformance.expectation import Expectation
from kl_conformance.predicate import Predicate
from kl_conformance.subject import Subject
from kl_conformance.vocabulary import INSTEAD_NAMES, REGION_NAMES
from kl_reports.version import meets

# python/triton/runtime/interpreter.py, _convert_float: bfloat16 and float32 have exponents of one range, so that a
# subnormal number of one is one of the other; it is shifted as if it became a normal one, and loses its leading bit.
SUBNORMALS = Expectation(
    id="triton-interpreter-subnormals",
    requirements=(),  # whatever is made of such numbers
    implementations=(),  # whoever is interpreted
    versions=SpecifierSet(">=3.0"),
    dtypes=("bfloat16",),
    # Each number converted moves by less than the least normal one, before a factor of log p − log q (down to −1e4).
    region=Predicate("row(p < 16384 * least_normal) or row(abs(log_q) < least_normal)", REGION_NAMES),
    instead=Predicate("abs(got - right) <= allowed + 16384 * least_normal", INSTEAD_NAMES),
    witnesses=("values/least-number-of-all",),
    reason=(
        "Triton's interpreter (TRITON_INTERPRET=1) converts subnormal numbers between bfloat16 and float32 wrongly: "
        "the kernel is held to the other numbers, and compiled it is held to these as well."
    ),
    link="https://github.com/triton-lang/triton/issues/4972",
    since="2026-11-22",
    review_by="2027-05-22",
)
_ON = {"1", "true", "yes", "on", "y"}  # as triton.knobs reads them


def interpreted(subject: Subject) -> tuple[Expectation, ...]:
    """Return what a kernel may do because Triton interprets it here, instead of compiling it.

    A known implementation is none: this speaks of what a user brings, in a process that has Triton loaded.
    """
    brought = subject.implementation.name not in registry.IMPLEMENTATIONS
    on = os.environ.get("TRITON_INTERPRET", "").lower() in _ON
    if not (brought and on and "triton" in sys.modules and subject.column.dtype in SUBNORMALS.dtypes):
        return ()
    installed = registry.installed_version("triton")
    return (SUBNORMALS,) if meets(installed, SUBNORMALS.versions, as_release=True) else ()
