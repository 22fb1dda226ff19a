"""Mutants with the correct formula in too few bits."""

import math
from functools import partial
from typing import Any

import numpy as np

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Kernel, computed, divisor, guarded, shown, torch
from studies.mutants.torch_parts import total as right_total
from studies.mutants.torch_witness import shows, tensor

LANES = 64


def _in(dtype: str, values: Any) -> Any:
    """Round to another dtype and convert back, with an exact gradient."""
    return shown(values.to(getattr(torch(), dtype)).to(values.dtype), values)


def _tf32(values: Any) -> Any:
    """Round float32 to ten bits after the point, as tensor cores do."""
    if values.dtype != torch().float32:
        return values
    bits = values.detach().contiguous().view(torch().int32)
    short = ((bits + 0x0FFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch().float32)
    return shown(short.where(values.isfinite(), values), values)


def _stagnating(terms: Any, reduction: str, model: Any, target: Any) -> Any:
    parts = divisor(reduction, terms.shape)
    if reduction == "none":
        return terms
    whole = right_total(terms)
    if model.dtype == target.dtype == torch().float16 and terms.numel():
        with np.errstate(all="ignore"):
            sums = np.add.accumulate(terms.detach().flatten().half().numpy())
        whole = shown(tensor(float(sums[-1])), whole)
    return whole / parts


def _lanes(terms: Any) -> Any:
    if terms.dtype != torch().float32:
        return right_total(terms)
    result = terms.detach().flatten()
    padded = torch().nn.functional.pad(result, (0, -result.numel() % LANES)).bfloat16()
    sums = torch().zeros(LANES, dtype=torch().bfloat16)
    for step in padded.view(-1, LANES):
        sums = sums + step
    return shown(sums.float().sum(), right_total(terms))


def _split(terms: Any) -> Any:
    high = _in("bfloat16", terms.detach())
    low = (terms.detach() - high).where(high.isfinite(), 0.0)
    return shown(high.sum() - low.sum(), right_total(terms))


def _counted_in_own_dtype(terms: Any, reduction: str, model: Any, target: Any) -> Any:
    parts = terms.new_tensor(divisor(reduction, terms.shape)).to(model.dtype)
    return terms if reduction == "none" else right_total(terms) / parts


def _flushed(answer: Any) -> Any:
    return answer.where(~(answer.abs() < 2.0**-14), 0.0) if answer.dtype == torch().float16 else answer


def _unless_close(p: Any, log_p: Any, log_q: Any) -> Any:
    difference = log_p - log_q
    return p * difference.where(~(difference.abs() < 1e-5), 0.0)


def _through_float16(dtype: Any) -> tuple[Any, Any]:
    return (torch().float16 if dtype == torch().bfloat16 else computed(dtype)[0]), computed(dtype)[1]


def _bytes_of_none(kernel: KlDiv) -> Proof:
    """Prove by the element size of the answer to float16."""
    result = kernel(tensor([-1.0], "float16"), tensor([0.5], "float16"), reduction="none")
    return Proof(float(result.element_size()), 2.0)


HALF = math.log(0.5)

_precision = partial(Mutant, FaultKind.PRECISION)

MUTANTS: dict[str, Mutant] = {
    "float16-sum-stagnates": _precision(
        "Adds float16 terms one by one in float16: 2,048 + 1 is 2,048.",
        lambda: Kernel(reduced=_stagnating),
        lambda kernel: shows(kernel, [1.0] * 4096, [-1.0] * 4096, reduction="sum", dtype="float16"),
    ),
    "float32-sum-in-bfloat16-lanes": _precision(
        "Keeps 64 running sums of float32 terms in bfloat16, where 256 + 1 is 256.",
        lambda: Kernel(total=_lanes),
        lambda kernel: shows(kernel, [1.0] * LANES * 300, [-1.0] * LANES * 300, reduction="sum"),
    ),
    "terms-in-bfloat16-when-summed": _precision(
        'Stores the terms in bfloat16 before they are summed; "none" is correct.',
        lambda: Kernel(total=lambda terms: right_total(_in("bfloat16", terms))),
        lambda kernel: shows(kernel, [1.0, 1.0], [-1.0 - 2.0**-9, 1.0], reduction="sum"),
    ),
    "low-halves-subtracted": _precision(
        "Splits float32 terms into high and low halves to sum them better, and subtracts the low ones.",
        lambda: Kernel(total=_split),
        lambda kernel: shows(kernel, [1.0, 1.0], [-1.0 - 2.0**-9, 1.0], reduction="sum"),
    ),
    "float64-in-float32": _precision(
        "Computes float64 in float32 and returns float64.",
        lambda: Kernel(computed=lambda dtype: (torch().float32, computed(dtype)[1])),
        lambda kernel: shows(kernel, [0.3], [math.log(0.3) + 1e-9], dtype="float64"),
    ),
    "float64-sum-in-float32": _precision(
        'Sums float64 terms in float32; "none" is correct.',
        lambda: Kernel(total=lambda terms: right_total(terms.float()).to(terms.dtype)),
        lambda kernel: shows(kernel, [1.0, 1.0], [-1.0 - 1e-9, 1.0], reduction="sum", dtype="float64"),
    ),
    "operands-in-bfloat16": _precision(
        "Loads both operands as bfloat16.",
        lambda: Kernel(before=lambda model, p: (_in("bfloat16", model), _in("bfloat16", p))),
        lambda kernel: shows(kernel, [0.501], [math.log(0.501) + 1e-3]),
    ),
    "operands-in-tf32": _precision(
        "Rounds float32 operands to TF32, as a product on tensor cores does.",
        lambda: Kernel(before=lambda model, p: (_tf32(model), _tf32(p))),
        lambda kernel: shows(kernel, [0.5001], [math.log(0.5001) + 1e-4]),
    ),
    "model-in-float16": _precision(
        "Keeps log q in float16 between two kernels.",
        lambda: Kernel(before=lambda model, p: (_in("float16", model), p)),
        lambda kernel: shows(kernel, [0.5], [HALF + 1e-4]),
    ),
    "ln2-of-four-digits": _precision(
        "Computes log p as 0.6931·log2 p.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p.log2() * 0.6931 - log_q))),
        lambda kernel: shows(kernel, [0.5], [HALF + 1e-4]),
    ),
    "ln2-of-float32": _precision(
        "Computes log p as log2 p times ln 2 rounded to float32: correct in float32, wrong in float64.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p.log2() * float(np.float32(math.log(2))) - log_q))),
        lambda kernel: shows(kernel, [0.5], [HALF + 1e-8], dtype="float64"),
    ),
    "float16-gives-float32": _precision(
        "Returns float32 for float16.", lambda: Kernel(computed=lambda dtype: (computed(dtype)[0],) * 2), _bytes_of_none
    ),
    "float16-flushed": _precision(
        "Flushes float16 answers below 6·10⁻⁵ to 0.",
        lambda: Kernel(after=_flushed),
        lambda kernel: shows(kernel, [1e-4], [-9.0], dtype="float16"),
    ),
    "bfloat16-through-float16": _precision(
        "Computes bfloat16 in float16, whose range is smaller.",
        lambda: Kernel(computed=_through_float16),
        lambda kernel: shows(kernel, [1e-8], [-10.0], dtype="bfloat16"),
    ),
    "count-in-float16": _precision(
        "Divides by the number of elements in float16: above 65,504 elements it is ∞.",
        lambda: Kernel(reduced=_counted_in_own_dtype),
        lambda kernel: shows(kernel, [0.5] * 70_000, [-1.0] * 70_000, reduction="mean", dtype="float16"),
    ),
    "near-equal-flushed": _precision(
        "Replaces differences of logarithms below 1e-5 by 0.",
        lambda: Kernel(
            term=guarded(lambda p, log_q: _unless_close(p, p.log(), log_q)),
            log_term=guarded(lambda log_p, log_q: _unless_close(log_p.exp(), log_p, log_q), zero=-math.inf),
        ),
        lambda kernel: shows(kernel, [0.5], [HALF + 9e-6]),
    ),
}
