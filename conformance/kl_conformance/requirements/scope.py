"""To which columns a requirement can be put: each test returns the reason why not, or None."""

from __future__ import annotations

from kl_conformance.requirement import Applies
from kl_conformance.subject import Subject
from kl_conformance.transform import Transform
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype

SUMS = (
    Reduction.SUM,
    Reduction.ROWS,
    Reduction.BATCHMEAN,
    Reduction.ROWMEAN,
    Reduction.MEAN,
)


def both(*tests: Applies) -> Applies:
    """Apply where every test does."""

    def applies(subject: Subject) -> str | None:
        return next((why for test in tests if (why := test(subject)) is not None), None)

    return applies


def either(first: Applies, second: Applies) -> Applies:
    """Apply where one of two tests does; where neither, for the second's reason."""

    def applies(subject: Subject) -> str | None:
        return None if first(subject) is None else second(subject)

    return applies


def offers(*reductions: Reduction) -> Applies:
    """Apply where at least one of the reductions is offered."""

    def applies(subject: Subject) -> str | None:
        if subject.offers(*reductions):
            return None
        names = " or ".join(each.name.lower() for each in reductions)
        return f"offers no reduction of this kind ({names})"

    return applies


terms = offers(Reduction.TERMS)
sums = offers(*SUMS)


def takes(side: Side, *spaces: Space) -> Applies:
    """Apply where one side is taken in one of the spaces."""

    def applies(subject: Subject) -> str | None:
        taken = subject.convention.target if side is Side.TARGET else subject.convention.model
        if any(space in taken for space in spaces):
            return None
        return f"takes the {side.value} as {taken[0].value} only"

    return applies


def formula(*formulas: Formula) -> Applies:
    """Apply to implementations of one of the formulas."""

    def applies(subject: Subject) -> str | None:
        own = subject.convention.formula
        return None if own in formulas else f"computes {own.value}"

    return applies


divergence = formula(Formula.PLAIN, Formula.GENERALISED)


def half(subject: Subject) -> str | None:
    """Apply to the 16-bit dtypes."""
    halves = {Dtype.FLOAT16, Dtype.BFLOAT16}
    return None if subject.dtype in halves else "asked of 16-bit dtypes only"


def wide(subject: Subject) -> str | None:
    """Apply to the dtypes of more than 16 bits."""
    narrow = half(subject) is None
    return "16 bits cannot hold P and Q so near each other that it matters" if narrow else None


def unnormalised(subject: Subject) -> str | None:
    """Apply where probabilities are taken as they are."""
    if subject.convention.normalise:
        return "normalises its inputs"
    if subject.implementation.needs_distributions:
        return "is documented for distributions only"
    return "logits are always normalised" if Space.LOGITS in subject.convention.target else None


def unclipped(subject: Subject) -> str | None:
    """Apply where probabilities are not clipped."""
    clip = subject.convention.clip
    return None if clip is None else f"clips probabilities to [{clip[0]}, {clip[1]}]"


def unsmoothed(subject: Subject) -> str | None:
    """Apply where a target of 0 stays 0."""
    return "smooths labels, so that no p is 0" if subject.convention.smoothing else None


def strided(subject: Subject) -> str | None:
    """Apply where tensors can lie in memory otherwise than row after row."""
    return None if subject.framework.strided else f"arrays of {subject.framework.name} have no strides"


def broadcasts(subject: Subject) -> str | None:
    """Apply where operands of different shape are promised to broadcast."""
    return None if subject.implementation.broadcasts else "does not promise to broadcast"


def differentiable(*sides: Side) -> Applies:
    """Apply where the implementation can be differentiated by one of the sides."""

    def applies(subject: Subject) -> str | None:
        if any(side in subject.sides for side in sides):
            return None
        return f"offers no gradient by the {' or '.join(side.value for side in sides)}"

    return applies


def able(transform: Transform) -> Applies:
    """Apply where the implementation brings a transform, or promises one that its framework has."""

    def applies(subject: Subject) -> str | None:
        mine = subject.implementation
        if transform in mine.unsupported_transforms:
            return mine.unsupported_transforms[transform]
        if transform in mine.custom_transforms:
            return None
        if transform not in subject.framework.transforms:
            return f"{subject.framework.name} cannot {transform.value}"
        return None if transform in mine.transforms else f"promises no way to {transform.value}"

    return applies


def hurried(transform: Transform) -> Applies:
    """Spare the quick profile what takes seconds a shape."""

    def applies(subject: Subject) -> str | None:
        if (
            transform in subject.implementation.custom_transforms
            or transform not in subject.framework.slow_transforms
        ):
            return None
        return f"to {transform.value} takes seconds a shape: asked in the profiles standard and thorough"

    return applies
