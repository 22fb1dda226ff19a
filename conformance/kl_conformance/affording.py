"""Where every new shape is compiled: the few shapes that are asked, and the cases of common ones."""

from __future__ import annotations

from kl_cases.family import Shape
from kl_cases.pair import Pair
from kl_cases.problems import Profile
from kl_conformance import registry
from kl_conformance.plan import ALIKE
from kl_conformance.requirement import Requirement
from kl_conformance.subject import Subject
from kl_reference.dtype import Dtype

LONG = (2, 1025)  # the one long shape of the standard profile
# What a known implementation is asked: no axis and one, one row, one class, an odd number of them, three axes, and more
# than 1024 classes. A kernel that is brought may work in blocks of its own, and is asked every size.
SIZES: frozenset[Shape] = frozenset({(), (4,), (1, 4), (3, 1), (3, 5), (2, 3, 5), LONG})
# In the second of two formats that one code serves, whether or not the first is asked beside it: what is fixed
# hangs on the profile alone, so that runs can be compared.
AGAIN: frozenset[Shape] = frozenset({(3, 5), (2, 3, 5), LONG})
# Beside them, in the standard profile, the shapes that most cases were met in; fewer of gradients, which are
# compiled in three times as many pieces.
MET: frozenset[Shape] = frozenset({(1,), (2,), (3,), (1, 2), (1, 3), (2, 2), (2, 3)})
MET_BY_GRADIENTS: frozenset[Shape] = frozenset({(2,), (1, 3), (2, 2)})
# What is asked in the quick profile where that takes seconds.
FEW: frozenset[Shape] = frozenset({(1, 3), (2, 3), (3, 5), (8, 31)})
# Chapters asked by few forms of call: there a case may have a shape of its own.
FEW_FORMS = ("values", "support", "signs")
CHOSEN = [sorted(each) for each in (SIZES, AGAIN, MET, MET_BY_GRADIENTS, FEW)]


def shapes(requirement: Requirement, subject: Subject, profile: Profile) -> tuple[Shape, ...]:
    """Return the shapes asked of a subject; fewer where each new one is compiled, and few where that takes long."""
    palette, kept = requirement.palette[profile], _sizes(subject, profile)
    if subject.compiles and (profile is Profile.STANDARD or kept is not None):
        palette = (*requirement.palette[Profile.QUICK], LONG)
    palette = requirement.shapes or palette
    kept = FEW if _hurries(subject, profile) else kept
    return palette if kept is None else tuple(shape for shape in palette if shape in kept) or palette[:1]


def affords(
    requirement: Requirement, subject: Subject, dtype: Dtype | None, pair: Pair, profile: Profile
) -> bool:
    """Whether a case is asked in any event: where each new shape is compiled, only in the dtype it was met in, if any.

    In chapters of many forms of call, too, only in a shape that is asked anyway, or one that most cases were met in.
    """
    seconds = requirement.spared(subject) is not None  # for every shape, in this requirement alone
    if profile is Profile.THOROUGH or not (subject.compiles or seconds):
        return True
    if dtype not in {None, subject.dtype}:
        return False
    if seconds or requirement.chapter in FEW_FORMS:
        return True
    kept = _sizes(subject, profile)
    if _hurries(subject, profile):
        kept = FEW
    elif kept is not None and profile is Profile.STANDARD:
        kept |= MET_BY_GRADIENTS if requirement.chapter == "gradients" else MET
    return kept is None or {pair.p.values.shape, pair.q.values.shape} <= kept


def _sizes(subject: Subject, profile: Profile) -> frozenset[Shape] | None:
    """Return the shapes a known implementation is asked where each is compiled; None for all others."""
    known = subject.implementation.name in registry.IMPLEMENTATIONS
    if not known or not subject.compiles or profile is Profile.THOROUGH:
        return None
    return AGAIN if subject.column.dtype in ALIKE else SIZES


def _hurries(subject: Subject, profile: Profile) -> bool:
    return subject.slow and profile is Profile.QUICK
