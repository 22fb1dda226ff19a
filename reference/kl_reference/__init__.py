"""Exact answers to divergence problems with proven error bounds, and tolerances for implementations."""

from kl_reference.answer import answer
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Enclosure, Scale
from kl_reference.gradient import gradient
from kl_reference.problem import Operand, Problem
from kl_reference.softmax import log_softmax, softmax
from kl_reference.tolerance import Allowance, Profile, Summation, Tolerance, accepts_overflow, tolerance, vacuous

__all__ = [
    "Allowance",
    "Convention",
    "Dtype",
    "Enclosure",
    "Formula",
    "Operand",
    "Problem",
    "Profile",
    "Reduction",
    "Scale",
    "Side",
    "Space",
    "Summation",
    "Tolerance",
    "accepts_overflow",
    "answer",
    "gradient",
    "log_softmax",
    "softmax",
    "tolerance",
    "vacuous",
]
