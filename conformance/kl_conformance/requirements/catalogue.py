"""All requirements by id, in chapter order."""

from collections.abc import Mapping

from kl_conformance.errors import UnknownNameError
from kl_conformance.requirements.chapters import (
    errors,
    gradients,
    gradients_transforms,
    identities,
    identities_library,
    layouts,
    layouts_sizes,
    modes,
    reductions,
    reductions_arguments,
    signs,
    state,
    state_memory,
    support,
    values,
)
from kl_conformance.requirements.requirement import Requirement
from kl_reports.runfile.cell_id import chapter_of

CHAPTERS: Mapping[str, tuple[Requirement, ...]] = {
    "values": values.REQUIREMENTS,
    "support": support.REQUIREMENTS,
    "signs": signs.REQUIREMENTS,
    "reductions": (*reductions.REQUIREMENTS, *reductions_arguments.REQUIREMENTS),
    "identities": (*identities_library.REQUIREMENTS, *identities.REQUIREMENTS),
    "gradients": (*gradients.REQUIREMENTS, *gradients_transforms.REQUIREMENTS),
    "layouts": (*layouts.REQUIREMENTS, *layouts_sizes.REQUIREMENTS),
    "state": (*state.REQUIREMENTS, *state_memory.REQUIREMENTS),
    "modes": modes.REQUIREMENTS,
    "errors": errors.REQUIREMENTS,
}
REQUIREMENTS: Mapping[str, Requirement] = {
    requirement.id: requirement for chapter in CHAPTERS.values() for requirement in chapter
}


def requirement(name: str) -> Requirement:
    """Return the requirement with an id.

    Raises
    ------
    UnknownName
        Unknown id; the message lists the ids of the same chapter, or the chapters.
    """
    if name in REQUIREMENTS:
        return REQUIREMENTS[name]
    chapter = chapter_of(name)
    if chapter in CHAPTERS:
        raise UnknownNameError("requirement", name, [each.id for each in CHAPTERS[chapter]])
    raise UnknownNameError("requirement", name, [f"{each}/…" for each in CHAPTERS])
