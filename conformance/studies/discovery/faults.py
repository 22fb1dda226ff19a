"""One faulty implementation for each class of bug, and the requirement that must detect it."""

from dataclasses import dataclass, replace

import numpy as np

from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import NAMES, Miniature, by_model, by_target, generalised, log_term, term
from kl_reference.convention import Formula, Reduction, Space
from studies.discovery import parts
from studies.discovery.parts import on_logits


@dataclass(frozen=True, slots=True)
class Fault:
    """A miniature that has one class of bug and no other.

    Parameters
    ----------
    description
        What the miniature computes.
    requirement
        Id of the requirement that must detect it.
    miniature
        The faulty implementation.
    dtype
        The dtype in which it is tested.
    flag
        The class of bug, a name in ``kl_cases.flags.FLAGS``.
    """

    description: str
    requirement: str
    miniature: Miniature
    dtype: str = "float32"
    flag: str = ""


def miniature_of(requirement: str) -> Miniature:
    """Return the miniature of a requirement: the faulty implementation that it must reject."""
    return catalogue.requirement(requirement).miniature


_BY_FLAG: dict[str, Fault] = {
    "argument-order": Fault(
        "q·(log q − log p)",
        "signs/direction",
        Miniature(term=lambda p, lq: term(np.exp(lq), np.log(p)), log_term=lambda lp, lq: log_term(lq, lp)),
    ),
    "batch-size": Fault(
        "batchmean ÷ rows of all leading axes", "reductions/batchmean", Miniature(reduce=parts.over_every_row)
    ),
    "boundary-gradient": Fault(
        "∂/∂log q = 0 for log q < −16, where a clip to 1e-7 would begin",
        "gradients/model",
        Miniature(by_model=lambda p, lq: np.where(lq < -16, 0 * p, by_model(p, lq))),
    ),
    "cancellation": Fault(
        "(8 + p·log p) − (8 + p·log q)",
        "values/near-equal",
        Miniature(term=lambda p, lq: (8 + p * np.log(p)) - (8 + p * lq)),
    ),
    "clamped-sign": Fault("max(term, 0)", "signs/pointwise", Miniature(term=lambda p, lq: np.maximum(term(p, lq), 0))),
    "clipped-terms": Fault(
        "min(term, 0.06)", "values/pointwise", Miniature(term=lambda p, lq: np.minimum(term(p, lq), 0.06))
    ),
    "dead-gradient": Fault(
        "∂/∂p = 0 unless p > 1e-7",
        "gradients/target",
        Miniature(by_target=lambda p, lq: np.where(p > 1e-7, by_target(p, lq), 0 * p)),
    ),
    "double-counted": Fault(
        "q where p = 0, and + q again",
        "support/zero-target",
        Miniature(
            term=lambda p, q: generalised(p, q) + np.where(p == 0, q, 0 * q),
            formula=Formula.GENERALISED,
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
        ),
    ),
    "dropped-tail": Fault(
        f"sums of whole blocks of {parts.BLOCK} classes", "values/exact-sum", Miniature(reduce=parts.tail_lost)
    ),
    "epsilon-plateau": Fault(
        "p·(log(p + 1e-10) − log q)",
        "values/pointwise",
        Miniature(term=lambda p, lq: p * (np.log(p + np.asarray(1e-10, p.dtype)) - lq)),
    ),
    "factor-of-classes": Fault("mean ÷ rows", "reductions/mean", Miniature(reduce=parts.over_rows)),
    "finite-loss-nan-gradient": Fault(
        "∂/∂p + 0·p/p", "gradients/target-at-zero", Miniature(by_target=lambda p, lq: by_target(p, lq) + 0 * (p / p))
    ),
    "foreign-memory": Fault("+ 0 · the value behind the last element", "state/memory", miniature_of("state/memory")),
    "half-overflow": Fault(
        "a running sum in float16", "values/half", Miniature(reduce=parts.in_their_own_format), "float16"
    ),
    "in-place": Fault("log q doubled in place", "state/inputs-untouched", Miniature(before=parts.scribbled)),
    "inner-mask": Fault(
        "0 for every class of a row with a masked one",
        "support/block-masked",
        Miniature(term=lambda p, lq: np.where(parts.masked_row(p, lq), 0 * p, term(p, lq))),
    ),
    "log-for-probability": Fault(
        "e^p·(p − log q) where p < 0",
        "support/negative-target",
        Miniature(term=lambda p, lq: np.where(p < 0, np.exp(p) * (p - lq), term(p, lq))),
    ),
    "log-of-underflow": Fault("log(softmax(x))", "values/from-logits", on_logits(lambda x: np.log(parts.softmax(x)))),
    "log-of-zero": Fault(
        "p·log p − p·log q", "support/zero-target", Miniature(term=lambda p, lq: p * np.log(p) - p * lq)
    ),
    "logits-shift": Fault("x − log(1 + Σ e^x)", "identities/logits-shift", on_logits(parts.with_one_more)),
    "masked-nan": Fault(
        "xlogy(p, p) − p·log q",
        "support/zero-over-zero",
        Miniature(term=lambda p, lq: np.where(p == 0, 0, p * np.log(p)) - p * lq),
    ),
    "memory-layout": Fault(
        "numbers read one after the other from where memory begins",
        "layouts/strided",
        Miniature(before=parts.as_stored),
    ),
    "misuse": Fault(
        "a sum for every unknown reduction", "errors/unknown-reduction", Miniature(reductions=parts.Forgiving(NAMES))
    ),
    "naive-exponential": Fault("log(e^x ÷ Σ e^x)", "values/from-logits", on_logits(parts.without_largest)),
    "nan-swallowed": Fault("nan_to_num(answer)", "support/nan", Miniature(after=np.nan_to_num)),
    "negative-silenced": Fault(
        "|p|·(log |p| − log q)", "support/negative-target", Miniature(term=lambda p, lq: term(np.abs(p), lq))
    ),
    "other-formula": Fault(
        "p·(log p − log q) − p + q", "values/pointwise", Miniature(term=lambda p, lq: term(p, lq) - p + np.exp(lq))
    ),
    "other-mode": Fault("compiled, it answers in float16", "modes/compiled", miniature_of("modes/compiled")),
    "padding-counted": Fault(
        f"logits of 0 fill up to a multiple of {parts.BLOCK} classes",
        "values/from-logits",
        on_logits(parts.with_padding),
    ),
    "probability-for-log": Fault(
        "log of the argument for log q, where it is positive",
        "errors/misuse",
        Miniature(term=lambda p, lq: term(p, np.where(lq > 0, np.log(np.abs(lq)), lq))),
    ),
    "ratio-range": Fault("p·log(p/q)", "values/extreme", Miniature(term=lambda p, lq: p * np.log(p / np.exp(lq)))),
    "rounded-inputs": Fault(
        "p and log q cut to bfloat16",
        "values/pointwise",
        Miniature(term=lambda p, lq: term(parts.coarse(p), parts.coarse(lq))),
    ),
    "silent-broadcast": Fault("any two shapes meet", "errors/class-mismatch", Miniature(before=parts.as_given)),
    "silent-normalisation": Fault("p ÷ Σp", "values/pointwise", Miniature(before=parts.divided)),
    "small-as-zero": Fault(
        "0 unless p > 1e-8", "values/pointwise", Miniature(term=lambda p, lq: np.where(p > 1e-8, term(p, lq), 0 * p))
    ),
    "small-gradient": Fault(
        "∂/∂log q = 0 unless p > 1e-20",
        "gradients/small",
        Miniature(by_model=lambda p, lq: np.where(p > 1e-20, by_model(p, lq), 0 * p)),
    ),
    "spurious-infinity": Fault(
        "p·(log p + log e^(−log q))",
        "values/extreme",
        Miniature(term=lambda p, lq: p * (np.log(p) + np.log(np.exp(-lq)))),
    ),
    "stale-state": Fault("one buffer for all answers of a shape", "state/fresh", miniature_of("state/fresh")),
    "subnormal": Fault(
        "0 for p below the least normal number",
        "values/extreme",
        Miniature(term=lambda p, lq: term(parts.flushed(p), lq)),
    ),
    "textbook": Fault("logarithms to base 2", "values/sum", Miniature(term=lambda p, lq: term(p, lq) / np.log(2))),
    "unit-mass": Fault(
        "∂/∂x = softmax(x) − p",
        "gradients/small",
        Miniature(
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            term=lambda p, x: term(p, np.log(parts.softmax(x))),
            by_model=lambda p, x: parts.softmax(x) - p,
        ),
    ),
    "unnormalised": Fault(
        "max(Σ, 0) for every row on the way to the sum", "reductions/sum", Miniature(reduce=parts.rows_above_zero)
    ),
    "upstream-ignored": Fault("1 for the gradient from above", "gradients/upstream", Miniature(upstream=np.ones_like)),
    "wrong-axis": Fault(
        "Σ over axis 0",
        "reductions/axis",
        Miniature(
            reduce=lambda terms, how: np.asarray(terms.sum(0)), reductions={"none": Reduction.ROWS}, default="none"
        ),
    ),
    "wrong-maximum": Fault(
        "the largest logit of all rows taken out of each", "values/from-logits", on_logits(parts.with_largest_of_all)
    ),
    "wrong-shape": Fault(
        "Σ over classes with the axis retained",
        "reductions/none",
        Miniature(
            reduce=lambda terms, how: np.asarray(terms.sum(-1, keepdims=True)),
            reductions={"none": Reduction.ROWS},
            default="none",
        ),
    ),
    "wrong-type": Fault(
        "ones for an argument that is no array", "errors/wrong-type", Miniature(before=parts.ones_for_nothing)
    ),
}
FAULTS: tuple[Fault, ...] = tuple(replace(fault, flag=flag) for flag, fault in _BY_FLAG.items())
