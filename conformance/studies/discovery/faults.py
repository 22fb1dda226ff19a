"""One faulty implementation for each class of bug, and the requirement that must detect it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import (
    NAMES,
    Miniature,
    by_model,
    by_target,
    generalised,
    log_term,
    term,
)
from kl_reference.convention import Formula, Reduction, Space
from studies.discovery import parts
from studies.discovery.parts import on_logits


@dataclass(frozen=True, slots=True)
class Fault:
    """A miniature that has one class of bug and no other.

    Parameters
    ----------
    flag
        The class of bug, a name in ``kl_cases.flags.FLAGS``.
    description
        What the miniature computes.
    requirement
        Id of the requirement that must detect it.
    miniature
        The faulty implementation.
    dtype
        The dtype in which it is tested.
    """

    flag: str
    description: str
    requirement: str
    miniature: Miniature
    dtype: str = "float32"


def miniature_of(requirement: str) -> Miniature:
    """Return the miniature of a requirement: the faulty implementation that it must reject."""
    return catalogue.requirement(requirement).miniature


FAULTS: tuple[Fault, ...] = (
    Fault(
        "argument-order",
        "q·(log q − log p)",
        "signs/direction",
        Miniature(
            term=lambda p, lq: term(np.exp(lq), np.log(p)),
            log_term=lambda lp, lq: log_term(lq, lp),
        ),
    ),
    Fault(
        "batch-size",
        "batchmean ÷ rows of all leading axes",
        "reductions/batchmean",
        Miniature(reduce=parts.over_every_row),
    ),
    Fault(
        "boundary-gradient",
        "∂/∂log q = 0 for log q < −16, where a clip to 1e-7 would begin",
        "gradients/model",
        Miniature(by_model=lambda p, lq: np.where(lq < -16, 0 * p, by_model(p, lq))),
    ),
    Fault(
        "cancellation",
        "(8 + p·log p) − (8 + p·log q)",
        "values/near-equal",
        Miniature(term=lambda p, lq: (8 + p * np.log(p)) - (8 + p * lq)),
    ),
    Fault(
        "clamped-sign",
        "max(term, 0)",
        "signs/pointwise",
        Miniature(term=lambda p, lq: np.maximum(term(p, lq), 0)),
    ),
    Fault(
        "clipped-terms",
        "min(term, 0.06)",
        "values/pointwise",
        Miniature(term=lambda p, lq: np.minimum(term(p, lq), 0.06)),
    ),
    Fault(
        "dead-gradient",
        "∂/∂p = 0 unless p > 1e-7",
        "gradients/target",
        Miniature(by_target=lambda p, lq: np.where(p > 1e-7, by_target(p, lq), 0 * p)),
    ),
    Fault(
        "double-counted",
        "q where p = 0, and + q again",
        "support/zero-target",
        Miniature(
            term=lambda p, q: generalised(p, q) + np.where(p == 0, q, 0 * q),
            formula=Formula.GENERALISED,
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
        ),
    ),
    Fault(
        "dropped-tail",
        f"sums of whole blocks of {parts.BLOCK} classes",
        "values/exact-sum",
        Miniature(reduce=parts.tail_lost),
    ),
    Fault(
        "epsilon-plateau",
        "p·(log(p + 1e-10) − log q)",
        "values/pointwise",
        Miniature(term=lambda p, lq: p * (np.log(p + np.asarray(1e-10, p.dtype)) - lq)),
    ),
    Fault("factor-of-classes", "mean ÷ rows", "reductions/mean", Miniature(reduce=parts.over_rows)),
    Fault(
        "finite-loss-nan-gradient",
        "∂/∂p + 0·p/p",
        "gradients/target-at-zero",
        Miniature(by_target=lambda p, lq: by_target(p, lq) + 0 * (p / p)),
    ),
    Fault(
        "foreign-memory",
        "+ 0 · the value behind the last element",
        "state/memory",
        miniature_of("state/memory"),
    ),
    Fault(
        "half-overflow",
        "a running sum in float16",
        "values/half",
        Miniature(reduce=parts.in_their_own_format),
        "float16",
    ),
    Fault("in-place", "log q doubled in place", "state/inputs-untouched", Miniature(before=parts.scribbled)),
    Fault(
        "inner-mask",
        "0 for every class of a row with a masked one",
        "support/block-masked",
        Miniature(term=lambda p, lq: np.where(parts.masked_row(p, lq), 0 * p, term(p, lq))),
    ),
    Fault(
        "log-for-probability",
        "e^p·(p − log q) where p < 0",
        "support/negative-target",
        Miniature(term=lambda p, lq: np.where(p < 0, np.exp(p) * (p - lq), term(p, lq))),
    ),
    Fault(
        "log-of-underflow",
        "log(softmax(x))",
        "values/from-logits",
        on_logits(lambda x: np.log(parts.softmax(x))),
    ),
    Fault(
        "log-of-zero",
        "p·log p − p·log q",
        "support/zero-target",
        Miniature(term=lambda p, lq: p * np.log(p) - p * lq),
    ),
    Fault("logits-shift", "x − log(1 + Σ e^x)", "identities/logits-shift", on_logits(parts.with_one_more)),
    Fault(
        "masked-nan",
        "xlogy(p, p) − p·log q",
        "support/zero-over-zero",
        Miniature(term=lambda p, lq: np.where(p == 0, 0, p * np.log(p)) - p * lq),
    ),
    Fault(
        "memory-layout",
        "numbers read one after the other from where memory begins",
        "layouts/strided",
        Miniature(before=parts.as_stored),
    ),
    Fault(
        "misuse",
        "a sum for every unknown reduction",
        "errors/unknown-reduction",
        Miniature(reductions=parts.Forgiving(NAMES)),
    ),
    Fault("naive-exponential", "log(e^x ÷ Σ e^x)", "values/from-logits", on_logits(parts.without_largest)),
    Fault("nan-swallowed", "nan_to_num(answer)", "support/nan", Miniature(after=np.nan_to_num)),
    Fault(
        "negative-silenced",
        "|p|·(log |p| − log q)",
        "support/negative-target",
        Miniature(term=lambda p, lq: term(np.abs(p), lq)),
    ),
    Fault(
        "other-formula",
        "p·(log p − log q) − p + q",
        "values/pointwise",
        Miniature(term=lambda p, lq: term(p, lq) - p + np.exp(lq)),
    ),
    Fault("other-mode", "compiled, it answers in float16", "modes/compiled", miniature_of("modes/compiled")),
    Fault(
        "padding-counted",
        f"logits of 0 fill up to a multiple of {parts.BLOCK} classes",
        "values/from-logits",
        on_logits(parts.with_padding),
    ),
    Fault(
        "probability-for-log",
        "log of the argument for log q, where it is positive",
        "errors/misuse",
        Miniature(term=lambda p, lq: term(p, np.where(lq > 0, np.log(np.abs(lq)), lq))),
    ),
    Fault(
        "ratio-range",
        "p·log(p/q)",
        "values/extreme",
        Miniature(term=lambda p, lq: p * np.log(p / np.exp(lq))),
    ),
    Fault(
        "rounded-inputs",
        "p and log q cut to bfloat16",
        "values/pointwise",
        Miniature(term=lambda p, lq: term(parts.coarse(p), parts.coarse(lq))),
    ),
    Fault(
        "silent-broadcast", "any two shapes meet", "errors/class-mismatch", Miniature(before=parts.as_given)
    ),
    Fault("silent-normalisation", "p ÷ Σp", "values/pointwise", Miniature(before=parts.divided)),
    Fault(
        "small-as-zero",
        "0 unless p > 1e-8",
        "values/pointwise",
        Miniature(term=lambda p, lq: np.where(p > 1e-8, term(p, lq), 0 * p)),
    ),
    Fault(
        "small-gradient",
        "∂/∂log q = 0 unless p > 1e-20",
        "gradients/small",
        Miniature(by_model=lambda p, lq: np.where(p > 1e-20, by_model(p, lq), 0 * p)),
    ),
    Fault(
        "spurious-infinity",
        "p·(log p + log e^(−log q))",
        "values/extreme",
        Miniature(term=lambda p, lq: p * (np.log(p) + np.log(np.exp(-lq)))),
    ),
    Fault("stale-state", "one buffer for all answers of a shape", "state/fresh", miniature_of("state/fresh")),
    Fault(
        "subnormal",
        "0 for p below the least normal number",
        "values/extreme",
        Miniature(term=lambda p, lq: term(parts.flushed(p), lq)),
    ),
    Fault(
        "textbook",
        "logarithms to base 2",
        "values/sum",
        Miniature(term=lambda p, lq: term(p, lq) / np.log(2)),
    ),
    Fault(
        "unit-mass",
        "∂/∂x = softmax(x) − p",
        "gradients/small",
        Miniature(
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            term=lambda p, x: term(p, np.log(parts.softmax(x))),
            by_model=lambda p, x: parts.softmax(x) - p,
        ),
    ),
    Fault(
        "unnormalised",
        "max(Σ, 0) for every row on the way to the sum",
        "reductions/sum",
        Miniature(reduce=parts.rows_above_zero),
    ),
    Fault(
        "upstream-ignored",
        "1 for the gradient from above",
        "gradients/upstream",
        Miniature(upstream=np.ones_like),
    ),
    Fault(
        "wrong-axis",
        "Σ over axis 0",
        "reductions/axis",
        Miniature(
            reduce=lambda terms, how: np.asarray(terms.sum(0)),
            reductions={"none": Reduction.ROWS},
            default="none",
        ),
    ),
    Fault(
        "wrong-maximum",
        "the largest logit of all rows taken out of each",
        "values/from-logits",
        on_logits(parts.with_largest_of_all),
    ),
    Fault(
        "wrong-shape",
        "Σ over classes with the axis retained",
        "reductions/none",
        Miniature(
            reduce=lambda terms, how: np.asarray(terms.sum(-1, keepdims=True)),
            reductions={"none": Reduction.ROWS},
            default="none",
        ),
    ),
    Fault(
        "wrong-type",
        "ones for an argument that is no array",
        "errors/wrong-type",
        Miniature(before=parts.ones_for_nothing),
    ),
)
