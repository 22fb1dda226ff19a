"""Predicates: whether a requirement applies to a column; each returns the reason if it does not, or None."""

from kl_conformance.frameworks.transform import Transform
from kl_conformance.harness.subject import Subject
from kl_conformance.requirements.requirement import Applies
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype

SUMS = (Reduction.SUM, Reduction.ROWS, Reduction.BATCHMEAN, Reduction.ROWMEAN, Reduction.MEAN)


def all_of(*tests: Applies) -> Applies:
    """Apply where every predicate does; otherwise return the first reason."""

    def applies(subject: Subject) -> str | None:
        return next((why for test in tests if (why := test(subject)) is not None), None)

    return applies


def any_of(first: Applies, second: Applies) -> Applies:
    """Apply where one of two predicates does; otherwise return the reason of the second."""

    def applies(subject: Subject) -> str | None:
        return None if first(subject) is None else second(subject)

    return applies


def offers(*reductions: Reduction) -> Applies:
    """Apply where the implementation offers at least one of the reductions."""

    def applies(subject: Subject) -> str | None:
        if subject.offers(*reductions):
            return None
        names = " or ".join(each.name.lower() for each in reductions)
        return f"offers no reduction of this kind ({names})"

    return applies


offers_terms = offers(Reduction.TERMS)
offers_sums = offers(*SUMS)


def accepts(side: Side, *spaces: Space) -> Applies:
    """Apply where the implementation accepts one side in one of the spaces."""

    def applies(subject: Subject) -> str | None:
        accepted = subject.convention.target if side is Side.TARGET else subject.convention.model
        if any(space in accepted for space in spaces):
            return None
        return f"accepts the {side.value} only as {' or '.join(space.value for space in accepted)}"

    return applies


def computes(*formulas: Formula) -> Applies:
    """Apply to implementations of one of the formulas."""

    def applies(subject: Subject) -> str | None:
        own = subject.convention.formula
        return None if own in formulas else f"computes {own.value}"

    return applies


is_divergence = computes(Formula.PLAIN, Formula.GENERALISED)


def is_16_bit(subject: Subject) -> str | None:
    """Apply to the 16-bit dtypes."""
    return None if subject.dtype in {Dtype.FLOAT16, Dtype.BFLOAT16} else "tested for 16-bit dtypes only"


def is_wider_than_16_bits(subject: Subject) -> str | None:
    """Apply to the dtypes of more than 16 bits."""
    narrow = is_16_bit(subject) is None
    return "16-bit dtypes cannot represent P and Q close enough for terms to cancel" if narrow else None


def not_normalised(subject: Subject) -> str | None:
    """Apply where the implementation does not normalise its inputs."""
    if subject.convention.normalise:
        return "normalises its inputs"
    if subject.implementation.needs_distributions:
        return "is documented for distributions only"
    return "logits are always normalised" if Space.LOGITS in subject.convention.target else None


def not_clipped(subject: Subject) -> str | None:
    """Apply where the implementation does not clip probabilities."""
    clip = subject.convention.clip
    return None if clip is None else f"clips probabilities to [{clip[0]}, {clip[1]}]"


def not_smoothed(subject: Subject) -> str | None:
    """Apply where a target of 0 stays 0."""
    return "smooths the labels, so no p is 0" if subject.convention.smoothing else None


def has_strides(subject: Subject) -> str | None:
    """Apply where tensors can have other memory layouts than contiguous rows."""
    return None if subject.framework.strided else f"arrays of {subject.framework.name} have no strides"


def broadcasts(subject: Subject) -> str | None:
    """Apply where the implementation is documented to broadcast operands of different shapes."""
    return None if subject.implementation.broadcasts else "is not documented to broadcast"


def differentiable(*sides: Side) -> Applies:
    """Apply where the implementation can be differentiated with respect to one of the sides."""

    def applies(subject: Subject) -> str | None:
        if any(side in subject.sides for side in sides):
            return None
        return f"offers no gradient with respect to the {' or '.join(side.value for side in sides)}"

    return applies


def supports_transform(transform: Transform) -> Applies:
    """Apply where the implementation has its own transform, or declares one that its framework has."""

    def applies(subject: Subject) -> str | None:
        implementation = subject.implementation
        if transform in implementation.unsupported_transforms:
            return implementation.unsupported_transforms[transform]
        if transform in implementation.custom_transforms:
            return None
        if transform not in subject.framework.transforms:
            return f"{subject.framework.name} cannot {transform.value}"
        if transform in implementation.transforms:
            return None
        return f"is not declared able to {transform.value}"

    return applies


def is_fast(transform: Transform) -> Applies:
    """Apply where a transform does not take seconds per shape; decides what the quick profile skips."""

    def applies(subject: Subject) -> str | None:
        if transform in subject.implementation.custom_transforms or transform not in subject.framework.slow_transforms:
            return None
        return f"to {transform.value} takes seconds per shape: tested in the standard and thorough profiles"

    return applies
