"""What people ask first, and which cells answer it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The requirements that measure each property by which `heading.convention` describes an implementation. `zeros` is
# described nowhere else: it is what the cells say.
EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "formula": ("values/pointwise", "values/sum", "identities/generalised"),
    "argument order": ("signs/direction", "values/pointwise", "values/sum"),
    "target (P)": ("values/pointwise", "values/sum", "identities/log-target"),
    "model (Q)": ("values/pointwise", "values/sum", "values/from-logits"),
    "class axis": ("reductions/axis", "reductions/none"),
    "reductions": (
        "reductions/none",
        "reductions/sum",
        "reductions/mean",
        "reductions/rowmean",
        "reductions/batchmean",
        "values/sum",
    ),
    "default reduction": ("reductions/default",),
    "clipping": ("values/extreme", "values/sum", "support/tiny-model"),
    "normalisation": ("signs/gibbs", "signs/self", "values/sum"),
    "zeros": ("support/zero-target", "support/zero-over-zero", "support/zero-model"),
}

# From the threads people write: terms below zero, a factor of C, softmax where log_softmax belongs, NaN.
QUESTIONS: tuple[Mapping[str, Any], ...] = (
    {
        "asked": "Why are some terms negative?",
        "answer": "Because they are: a term p·log(p/q) is negative wherever p < q. What cannot be negative is the sum "
        "over all classes, and only where both sides are distributions. The generalised form p·log(p/q) − p + q has "
        "no negative term.",
        "property": "formula",
        "requirements": ("signs/pointwise", "signs/gibbs", "signs/generalised"),
    },
    {
        "asked": "Why is it too small by a factor of C, the number of classes?",
        "answer": "Because it was averaged over classes too. The divergence of two distributions is a sum over "
        "classes; of [N, C] torch's default “mean” divides by N·C, “batchmean” by N alone, and so is C times as "
        "large. Cross-entropy losses sum over classes: cross-entropy less entropy is “batchmean”, not “mean”.",
        "property": "default reduction",
        "requirements": (
            "reductions/default",
            "reductions/mean",
            "reductions/batchmean",
            "identities/mean-factor",
            "identities/ce-minus-h",
        ),
    },
    {
        "asked": "Why is the whole loss negative? (softmax in place of log_softmax)",
        "answer": "Because probabilities were passed where logarithms belong. Where Q is taken as a log-probability, "
        "the output of softmax is read as if it were log q: no error, and a negative number. Pass what log_softmax "
        "gives; then for a one-hot P the loss is the cross-entropy.",
        "property": "model (Q)",
        "requirements": ("errors/misuse", "values/from-logits", "identities/one-hot", "signs/gibbs"),
    },
    {
        "asked": "Why is it NaN with masked classes?",
        "answer": "Because 0 × ∞ is not a number. A masked class has p = 0 and log q = −∞, and contributes exactly 0, "
        "the limit of p·log p; code that multiplies before it looks makes NaN of it, in the value or in the "
        "gradient. A class with p > 0 and q = 0 is another matter: there +∞ is right.",
        "property": "target (P)",
        "requirements": (
            "support/zero-over-zero",
            "support/block-masked",
            "support/log-zero-target",
            "gradients/masked",
            "support/zero-model",
        ),
    },
    {
        "asked": "Which way round: KL(P‖Q) or KL(Q‖P)?",
        "answer": "P is the target, the distribution the logarithms are weighted by, and Q the model. Every "
        "implementation here computes KL(P‖Q); they differ in which of the two comes first.",
        "property": "argument order",
        "requirements": ("signs/direction", "signs/self"),
    },
)


def guide() -> Mapping[str, Any]:
    """Return both as the plain data of a run file's header."""
    return {
        "questions": [{**each, "requirements": list(each["requirements"])} for each in QUESTIONS],
        "evidence": {name: list(requirements) for name, requirements in EVIDENCE.items()},
    }
