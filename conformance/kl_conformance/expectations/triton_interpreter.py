"""Rounding of Triton's CPU interpreter, excused for kernels that run under it."""

import os
import sys

from packaging.specifiers import SpecifierSet

from kl_conformance.expectations.expectation import Expectation
from kl_conformance.expectations.predicate import Predicate
from kl_conformance.expectations.vocabulary import INSTEAD_NAMES, REGION_NAMES
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_reports.versions import meets

# python/triton/runtime/interpreter.py, _convert_float: bfloat16 and float32 have the same exponent range, so that a
# subnormal number of one is subnormal in the other; it is shifted as if it became normal, and loses its leading bit.
SUBNORMALS = Expectation(
    id="triton-interpreter-subnormals",
    requirements=(),  # every requirement
    implementations=(),  # every interpreted kernel
    versions=SpecifierSet(">=3.0"),
    dtypes=("bfloat16",),
    # Each converted number changes by less than the least normal one, times a factor log p − log q (down to −1e4).
    region=Predicate("row(p < 16384 * least_normal) or row(abs(log_q) < least_normal)", REGION_NAMES),
    instead=Predicate("abs(got - right) <= allowed + 16384 * least_normal", INSTEAD_NAMES),
    witnesses=("values/least-number-of-all",),
    reason=(
        "Triton's interpreter (TRITON_INTERPRET=1) converts subnormal numbers between bfloat16 and float32 wrongly: "
        "interpreted, the kernel is tested with the other numbers only; compiled, with these as well."
    ),
    link="https://github.com/triton-lang/triton/issues/4972",
    since="2026-11-22",
    review_by="2027-05-22",
)
_ON = {"1", "true", "yes", "on", "y"}  # as triton.knobs reads them


def interpreter_rounding(subject: Subject) -> tuple[Expectation, ...]:
    """Return the deviations a user kernel may have because Triton interprets it instead of compiling it.

    They apply in a process that has imported Triton; built-in implementations do not use it.
    """
    is_user = not registry.is_builtin(subject.implementation.name)
    is_interpreted = os.environ.get("TRITON_INTERPRET", "").lower() in _ON
    if not (is_user and is_interpreted and "triton" in sys.modules and subject.column.dtype in SUBNORMALS.dtypes):
        return ()
    installed = registry.installed_version("triton")
    return (SUBNORMALS,) if meets(installed, SUBNORMALS.versions, as_release=True) else ()
