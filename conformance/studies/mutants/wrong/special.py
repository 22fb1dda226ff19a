"""Mutants that handle zeros, infinities or NaN wrongly."""

import math
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, Mutant
from studies.mutants.torch_parts import Kernel, changing, guarded, term, torch, total
from studies.mutants.torch_witness import shows

INF, NAN = math.inf, math.nan
BLOCK = 32


def _stops_at_masked_block(p: Any, log_q: Any) -> Any:
    terms = term(p, log_q)
    blocks = terms.shape[-1] // BLOCK if terms.ndim else 0
    if not blocks:
        return terms
    masked = (log_q == -INF).expand(terms.shape)[..., : blocks * BLOCK]
    left = masked.unflatten(-1, (blocks, BLOCK)).all(-1).cumsum(-1) > 0
    left = left.repeat_interleave(BLOCK, -1)
    rest = left[..., -1:].expand(*left.shape[:-1], terms.shape[-1] - blocks * BLOCK)
    return terms.where(~torch().cat([left, rest], -1), 0.0)


def _refined(terms: Any) -> Any:
    mean = terms.mean(dtype=torch().float64)
    return (terms - mean).sum() + mean * terms.numel()


_special = partial(Mutant, FaultKind.SPECIAL)

MUTANTS: dict[str, Mutant] = {
    "zero-target-nan": _special(
        "Multiplies 0 by log 0.",
        lambda: Kernel(term=lambda p, log_q: p * (p.log() - log_q)),
        lambda kernel: shows(kernel, [0.0], [-1.0]),
    ),
    "zero-target-becomes-1e-6": _special(
        "Replaces targets of exactly 0 by 1e-6.",
        lambda: Kernel(term=lambda p, log_q: term(p.where(p != 0, 1e-6), log_q)),
        lambda kernel: shows(kernel, [0.0], [-1.0]),
    ),
    "zero-over-zero-infinite": _special(
        "Returns ∞ for a masked class that the target leaves empty.",
        lambda: Kernel(term=lambda p, log_q: term(p, log_q).where(~((p == 0) & (log_q == -INF)), INF)),
        lambda kernel: shows(kernel, [0.0], [-INF]),
    ),
    "nan-becomes-0": _special(
        "Applies nan_to_num to the answer, so that an invalid model has a loss of 0.",
        lambda: Kernel(after=lambda answer: answer.nan_to_num(0.0, INF, -INF)),
        lambda kernel: shows(kernel, [0.5], [NAN]),
    ),
    "infinity-becomes-largest": _special(
        "Replaces an infinite answer by the largest finite number.",
        lambda: Kernel(after=lambda answer: answer.nan_to_num(NAN)),
        lambda kernel: shows(kernel, [0.5], [-INF]),
    ),
    "terms-at-most-10000": _special(
        "Clamps each term at 1e4, and infinity with it.",
        lambda: changing(lambda terms: terms.clamp(max=1e4)),
        lambda kernel: shows(kernel, [0.5], [-INF]),
    ),
    "zero-model-least-finite": _special(
        "Replaces log q = −∞ by the least finite number.",
        lambda: Kernel(before=lambda model, p: (model.clamp(min=torch().finfo(model.dtype).min), p)),
        lambda kernel: shows(kernel, [0.5], [-INF]),
    ),
    "zero-model-minus-10000": _special(
        "Replaces log q = −∞ by −10,000, as attention masks do.",
        lambda: Kernel(before=lambda model, p: (model.where(model != -INF, -1e4), p)),
        lambda kernel: shows(kernel, [0.5], [-INF]),
    ),
    "zero-model-skipped": _special(
        "Skips masked classes whether or not the target is 0 there.",
        lambda: Kernel(term=lambda p, log_q: term(p, log_q).where((log_q != -INF) | p.isnan(), 0.0)),
        lambda kernel: shows(kernel, [0.5], [-INF]),
    ),
    "zero-model-nan": _special(
        "Adds 0·log q to broadcast the terms, and 0·(−∞) is NaN.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p.log() - log_q) + 0 * log_q)),
        lambda kernel: shows(kernel, [0.5], [-INF]),
    ),
    "infinite-terms-dropped": _special(
        "Leaves infinite terms out of a reduction, which keeps the loss finite.",
        lambda: Kernel(total=lambda terms: total(terms.where(~terms.isinf(), 0.0))),
        lambda kernel: shows(kernel, [0.5, 0.5], [-INF, -1.0], reduction="sum"),
    ),
    "infinity-minus-infinity": _special(
        "Sums around the mean against rounding: an infinite term gives NaN.",
        lambda: Kernel(total=_refined),
        lambda kernel: shows(kernel, [0.5, 0.5], [-INF, -1.0], reduction="sum"),
    ),
    "underflow-taken-for-zero": _special(
        "Tests whether exp(log q) is 0, which it is long before log q is −∞.",
        lambda: Kernel(term=guarded(lambda p, log_q: (p * (p.log() - log_q)).where(log_q.exp() != 0, INF))),
        lambda kernel: shows(kernel, [0.5], [-120.0]),
    ),
    "only-positive-targets": _special(
        "Computes terms where p > 0 and puts 0 elsewhere: a negative or NaN target adds 0.",
        lambda: Kernel(term=lambda p, log_q: term(p.where(p > 0, 0.0), log_q)),
        lambda kernel: shows(kernel, [-0.5], [-1.0]),
    ),
    "negative-target-positive": _special(
        "Computes log|p|, so that a negative probability has a plausible loss.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p.abs().log() - log_q))),
        lambda kernel: shows(kernel, [-0.5], [-1.0]),
    ),
    "minus-zero-negative": _special(
        "Reads the sign bit to refuse negative targets, and −0 has one.",
        lambda: Kernel(term=lambda p, log_q: term(p, log_q).where(~p.signbit() | p.isnan(), NAN)),
        lambda kernel: shows(kernel, [-0.0], [-1.0]),
    ),
    "empty-class-hides-nan": _special(
        "Puts 0 wherever p = 0 whatever log q is: a NaN of the model is lost.",
        lambda: Kernel(term=lambda p, log_q: term(p, log_q).where(p != 0, 0.0)),
        lambda kernel: shows(kernel, [0.0], [NAN]),
    ),
    "nan-target-empty": _special(
        "Treats a NaN in the target as 0.",
        lambda: Kernel(term=lambda p, log_q: term(p.where(~p.isnan(), 0.0), log_q)),
        lambda kernel: shows(kernel, [NAN], [-1.0]),
    ),
    "reductions-skip-nan": _special(
        "Reduces by nansum: the terms show a NaN and the loss does not.",
        lambda: Kernel(total=lambda terms: terms.nansum(dtype=torch().float64)),
        lambda kernel: shows(kernel, [0.5, 0.5], [NAN, -1.0], reduction="sum"),
    ),
    "nan-fills-its-row": _special(
        "Spreads one NaN over its row, as the maximum of the row does.",
        lambda: changing(lambda terms: terms.where(~terms.isnan().any(-1, keepdim=True), NAN)),
        lambda kernel: shows(kernel, [[0.5, 0.5]], [[NAN, -1.0]], at=1),
    ),
    "masked-block-ends-row": _special(
        "Leaves the loop over a row at the first block of 32 masked classes.",
        lambda: Kernel(term=_stops_at_masked_block),
        lambda kernel: shows(kernel, [0.0] * BLOCK + [1 / BLOCK] * BLOCK, [-INF] * BLOCK + [-1.0] * BLOCK, at=BLOCK),
    ),
}
