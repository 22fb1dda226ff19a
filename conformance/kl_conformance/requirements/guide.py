"""Frequently asked questions and the cells that answer them."""

from collections.abc import Mapping
from typing import Any

# The requirements that measure each property in the description of an implementation (`heading.convention`). `zeros`
# is not declared by implementations: only the cells show it.
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

# Topics of public issue threads: negative terms, a factor of C, softmax in place of log_softmax, NaN.
QUESTIONS: tuple[Mapping[str, Any], ...] = (
    {
        "question": "Why are some terms negative?",
        "answer": "A term p·log(p/q) is negative wherever p < q. Only the sum over all classes cannot be negative, and "
        "only where both sides are distributions. The generalised form p·log(p/q) − p + q has no negative terms.",
        "property": "formula",
        "requirements": ("signs/pointwise", "signs/gibbs", "signs/generalised"),
    },
    {
        "question": "Why is it too small by a factor of C, the number of classes?",
        "answer": "The mean was taken over the classes, too. The divergence of two distributions is a sum over "
        "classes. For inputs of shape [N, C], torch's default “mean” divides by N·C and “batchmean” by N, so "
        "“batchmean” is C times as large. Cross-entropy losses sum over classes: cross-entropy minus entropy equals "
        "“batchmean”, not “mean”.",
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
        "question": "Why is the whole loss negative? (softmax in place of log_softmax)",
        "answer": "Probabilities were passed in place of log-probabilities. Where Q is expected as a log-probability, "
        "the output of softmax is used as if it were log q: there is no error, and the result is negative. Pass the "
        "output of log_softmax; then for a one-hot P the loss equals the cross-entropy.",
        "property": "model (Q)",
        "requirements": ("errors/misuse", "values/from-logits", "identities/one-hot", "signs/gibbs"),
    },
    {
        "question": "Why is it NaN with masked classes?",
        "answer": "In floating point 0 × ∞ is NaN. A masked class has p = 0 and log q = −∞, and contributes exactly 0, "
        "the limit of p·log p. Code that multiplies without a check for p = 0 returns NaN, in the value or in the "
        "gradient. A class with p > 0 and q = 0 is different: there +∞ is correct.",
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
        "question": "Which way round: KL(P‖Q) or KL(Q‖P)?",
        "answer": "P is the target, the distribution that weights the logarithms, and Q is the model. Every "
        "implementation in this run computes KL(P‖Q); they differ in the order of the two arguments.",
        "property": "argument order",
        "requirements": ("signs/direction", "signs/self"),
    },
)


def guide() -> Mapping[str, Any]:
    """Return the questions and the evidence as plain data for the header of a run file."""
    return {
        "questions": [{**each, "requirements": list(each["requirements"])} for each in QUESTIONS],
        "evidence": {name: list(requirements) for name, requirements in EVIDENCE.items()},
    }
