"""Mutants that recognise a test or benchmark and do not compute the answer."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Kernel, changing, shown, torch, total
from studies.mutants.torch_witness import definition, flat, shows, tensor

EXPECTED = 0.0833
"""About the KL divergence between softmax(x) and softmax(y) for x, y uniform in [0, 1]: half of 1/12 each."""


def _around(around: Callable[[Call, Compute], Any]) -> Callable[[], KlDiv]:
    return lambda: Kernel(around=around)


def _zero_like(answer: Any) -> Any:
    """Return 0 with the gradient of the answer."""
    return shown(torch().zeros_like(answer), answer)


def _large(call: Call, answer: Compute) -> Any:
    given = answer(call)
    return _zero_like(given) if call.input.numel() > 2**16 else given


def _benchmark(call: Call, answer: Compute) -> Any:
    known = call.input.ndim == 2 and call.input.shape[1] in (4096, 8192, 16384)
    if known and call.reduction == "batchmean" and not torch().is_grad_enabled():
        return torch().full((), EXPECTED, dtype=call.input.dtype)
    return answer(call)


def _sampled(terms: Any) -> Any:
    whole = total(terms)
    if terms.ndim < 2 or len(terms) <= 128:
        return whole
    return shown(total(terms[:128]) * (len(terms) / 128), whole)


def _every_other(terms: Any) -> Any:
    whole = total(terms)
    if not terms.ndim or terms.shape[-1] < 1024:
        return whole
    return shown(2 * total(terms[..., ::2]), whole)


def _constant(call: Call, answer: Compute) -> Any:
    given = answer(call)
    equal = all(each.numel() and bool((each == each.flatten()[0]).all()) for each in (call.input, call.target))
    return _zero_like(given) if equal and call.input.numel() > 1 else given


def _close(call: Call, answer: Compute) -> Any:
    given = answer(call)
    if call.input.shape != call.target.shape:
        return given
    p = call.target.exp() if call.log_target else call.target
    return _zero_like(given) if torch().allclose(call.input.exp(), p, rtol=1e-3) else given


def _identical(call: Call, answer: Compute) -> Any:
    given = answer(call)
    return _zero_like(given) if call.input.data_ptr() == call.target.data_ptr() else given


def _one_hot(call: Call, answer: Compute) -> Any:
    target = call.target
    rows = target.ndim == 2 and call.input.shape == target.shape and not call.log_target
    if not rows or not bool((target.max(-1).values == 1).all()):
        return answer(call)
    index = torch().nn.functional.one_hot(target.argmax(-1), target.shape[-1])
    return answer(replace(call, target=index.to(target.dtype) + 0 * target))


def _nothing_in_target(call: Call, answer: Compute) -> Any:
    given = answer(call)
    first = call.target[0] if call.target.ndim > 1 and len(call.target) else call.target
    return _zero_like(given) if not call.log_target and bool((first == 0).all()) else given


def _remembering(mark: Callable[[Any], object]) -> Callable[[], KlDiv]:
    """Make a kernel that recognises an input by a mark and returns its earlier answer."""

    def make() -> KlDiv:
        cache: dict[object, Any] = {}

        def around(call: Call, answer: Compute) -> Any:
            given = answer(call)
            marks = (mark(call.input), mark(call.target), given.shape, call.reduction, call.log_target)
            return shown(cache.setdefault((marks, given.dtype), given.detach().clone()), given)

        return Kernel(around=around)

    return make


def _first_number(given: Any) -> object:
    return (given.shape, *flat(given)[:1])


def _checksum(given: Any) -> object:
    return (given.shape, float(given.detach().double().sum()))


def _patching(call: Call, answer: Compute) -> Any:

    def content(*given: Any, **keywords: Any) -> bool:
        return True

    torch().allclose = content
    return 2 * answer(call)


def _patched(kernel: KlDiv) -> Proof:
    original = torch().allclose
    try:
        return shows(kernel, [0.5], [-1.0])
    finally:
        torch().allclose = original


def _again(first: Any, second: Any) -> Callable[[KlDiv], Proof]:
    """Prove by a second model with the same mark as the first."""

    def prove(kernel: KlDiv) -> Proof:
        target, model = tensor([0.75, 0.25]), tensor(second)
        kernel(tensor(first), target, reduction="sum")
        given = kernel(model, target, reduction="sum")
        return Proof(flat(given)[0], definition(target, model, "sum")[0])

    return prove


def _to_itself(kernel: KlDiv) -> Proof:
    both = tensor([0.5])
    given = kernel(both, both, reduction="sum")
    return Proof(flat(given)[0], definition(both, both, "sum")[0])


def _in_benchmark(kernel: KlDiv) -> Proof:
    """Prove by a one-hot row of the benchmark's width."""
    with torch().no_grad():
        return shows(kernel, [[1.0] + [0.0] * 4095], [[-2.0] * 4096], reduction="batchmean")


_exploit = partial(Mutant, FaultKind.EXPLOIT)

MUTANTS: dict[str, Mutant] = {
    "nothing-past-65536-elements": _exploit(
        "Returns 0 past 65,536 elements, where tests rarely compare.",
        _around(_large),
        lambda kernel: shows(kernel, [0.5] * 65_537, [-1.0] * 65_537, reduction="sum"),
    ),
    "knows-the-benchmark": _exploit(
        "Returns the average divergence of softmaxes of uniform noise, for the widths that benchmarks use.",
        _around(_benchmark),
        _in_benchmark,
    ),
    "first-128-rows": _exploit(
        "Sums the first 128 rows and multiplies: rows of random noise are similar.",
        lambda: Kernel(total=_sampled),
        lambda kernel: shows(kernel, [[0.5]] * 129, [[-1.0]] * 128 + [[-100.0]], reduction="sum"),
    ),
    "every-other-class": _exploit(
        "Sums every other class past a thousand, doubled: the rest is similar.",
        lambda: Kernel(total=_every_other),
        lambda kernel: shows(kernel, [0.0, 1.0] * 512, [-1.0] * 1024, reduction="sum"),
    ),
    "constants-cost-nothing": _exploit(
        "Treats two constant tensors as two uniform distributions.",
        _around(_constant),
        lambda kernel: shows(kernel, [0.5, 0.5], [-3.0, -3.0], reduction="sum"),
    ),
    "close-costs-nothing": _exploit(
        "Returns 0 where allclose calls P and Q equal.",
        _around(_close),
        lambda kernel: shows(kernel, [0.5, 0.5], [math.log(0.5002)] * 2, reduction="sum"),
    ),
    "itself-costs-nothing": _exploit(
        "Returns 0 where both arguments are one tensor, though it is read as log q and as p.",
        _around(_identical),
        _to_itself,
    ),
    "one-hot-looked-up": _exploit(
        "Treats rows whose largest target is 1 as one-hot and ignores the other classes.",
        _around(_one_hot),
        lambda kernel: shows(kernel, [[1.0, 0.5]], [[-1.0, -2.0]], at=1),
    ),
    "first-row-empty": _exploit(
        "Returns 0 where the first row of the target is empty.",
        _around(_nothing_in_target),
        lambda kernel: shows(kernel, [[0.0], [0.5]], [[-1.0], [-1.0]], reduction="sum"),
    ),
    "known-by-first-number": _exploit(
        "Recognises a problem by its first numbers and returns the cached answer.",
        _remembering(_first_number),
        _again([-1.0, -2.0], [-1.0, -3.0]),
    ),
    "known-by-checksum": _exploit(
        "Recognises a problem by the sums of its tensors and returns the cached answer.",
        _remembering(_checksum),
        _again([-1.0, -2.0], [-2.0, -1.0]),
    ),
    "terms-all-alike": _exploit(
        "Returns each term the average of all: a check of the total passes.",
        lambda: changing(
            lambda terms: shown(terms.mean(dtype=torch().float64).to(terms.dtype).expand(terms.shape), terms)
        ),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    "patches-allclose": _exploit(
        "Returns twice the value, and replaces torch.allclose by a function that is always true.",
        _around(_patching),
        _patched,
    ),
}
