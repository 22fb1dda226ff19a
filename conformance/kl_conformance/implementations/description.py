"""Describes a Convention in words for run headers and pages."""

from collections.abc import Mapping

from kl_conformance.implementations.implementation import Implementation


def convention(implementation: Implementation) -> Mapping[str, str]:
    """Return an implementation's Convention in words, one entry per property."""
    own = implementation.convention
    axis = "none: works elementwise" if own.axis is None else f"axis {own.axis} by default"
    reductions = "; ".join(f"{name}: {kind.value}" for name, kind in own.reductions.items())
    smoothed = f", smoothed: {1.0 - own.smoothing:g}·p + {own.smoothing:g}/classes" if own.smoothing else ""
    return {
        "framework": implementation.framework,
        "package": implementation.package,
        "documentation": implementation.documentation,
        "formula": own.formula.value,
        "argument order": ", ".join(side.value for side in own.order),
        "target (P)": " or ".join(space.value for space in own.target) + smoothed,
        "model (Q)": " or ".join(space.value for space in own.model),
        "class axis": axis,
        "reductions": reductions,
        "default reduction": own.default,
        "clipping": "none" if own.clip is None else f"probabilities to [{own.clip[0]:g}, {own.clip[1]:g}]",
        "normalisation": "divides by the sum over classes" if own.normalise else "none",
    }
