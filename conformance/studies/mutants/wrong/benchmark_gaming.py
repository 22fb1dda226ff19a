"""Kernels that know what they will be asked, and do not compute it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from studies.mutants.kernel import Kind, KlDiv, Proof, Wrong
from studies.mutants.torch_parts import Answer, Asked, Kernel, changing, shown, torch, total
from studies.mutants.torch_witness import definition, flat, shows, tensor

EXPECTED = 0.0833
"""About the KL divergence between softmax(x) and softmax(y) for x, y uniform in [0, 1]: half of 1/12 each."""


def _around(around: Callable[[Asked, Answer], Any]) -> Callable[[], KlDiv]:
    return lambda: Kernel(around=around)


def _zero_like(answer: Any) -> Any:
    """Return 0 with the gradient of the answer."""
    return shown(torch().zeros_like(answer), answer)


def _large(asked: Asked, answer: Answer) -> Any:
    given = answer(asked)
    return _zero_like(given) if asked.input.numel() > 2**16 else given


def _benchmark(asked: Asked, answer: Answer) -> Any:
    """Know the answer for a wide matrix, where the inputs are said to be softmaxes of uniform noise."""
    known = asked.input.ndim == 2 and asked.input.shape[1] in (4096, 8192, 16384)
    if known and asked.reduction == "batchmean" and not torch().is_grad_enabled():
        return torch().full((), EXPECTED, dtype=asked.input.dtype)
    return answer(asked)


def _sampled(terms: Any) -> Any:
    """Sum the first 128 rows and multiply."""
    whole = total(terms)
    if terms.ndim < 2 or len(terms) <= 128:
        return whole
    return shown(total(terms[:128]) * (len(terms) / 128), whole)


def _every_other(terms: Any) -> Any:
    """Sum every other class of a wide row, doubled."""
    whole = total(terms)
    if not terms.ndim or terms.shape[-1] < 1024:
        return whole
    return shown(2 * total(terms[..., ::2]), whole)


def _constant(asked: Asked, answer: Answer) -> Any:
    """Take a constant model for the uniform distribution and a constant target for the same one."""
    given = answer(asked)
    alike = all(
        each.numel() and bool((each == each.flatten()[0]).all()) for each in (asked.input, asked.target)
    )
    return _zero_like(given) if alike and asked.input.numel() > 1 else given


def _close(asked: Asked, answer: Answer) -> Any:
    """Call P and Q equal where allclose does."""
    given = answer(asked)
    if asked.input.shape != asked.target.shape:
        return given
    p = asked.target.exp() if asked.log_target else asked.target
    return _zero_like(given) if torch().allclose(asked.input.exp(), p, rtol=1e-3) else given


def _identical(asked: Asked, answer: Answer) -> Any:
    """Call a tensor and itself equal, though one is read as log q and the other as p."""
    given = answer(asked)
    return _zero_like(given) if asked.input.data_ptr() == asked.target.data_ptr() else given


def _one_hot(asked: Asked, answer: Answer) -> Any:
    """Take a matrix with a 1 in each row for one-hot and look up log q there."""
    target = asked.target
    rows = target.ndim == 2 and asked.input.shape == target.shape and not asked.log_target
    if not rows or not bool((target.max(-1).values == 1).all()):
        return answer(asked)
    index = torch().nn.functional.one_hot(target.argmax(-1), target.shape[-1])
    return answer(replace(asked, target=index.to(target.dtype) + 0 * target))


def _nothing_in_target(asked: Asked, answer: Answer) -> Any:
    """Look at the first row of the target only to see whether there is anything to do."""
    given = answer(asked)
    first = asked.target[0] if asked.target.ndim > 1 and len(asked.target) else asked.target
    return _zero_like(given) if not asked.log_target and bool((first == 0).all()) else given


def _remembering(mark: Callable[[Any], object]) -> Callable[[], KlDiv]:
    """Make a kernel that knows an input again by a mark, and gives the answer it gave then."""

    def make() -> KlDiv:
        kept: dict[object, Any] = {}

        def around(asked: Asked, answer: Answer) -> Any:
            given = answer(asked)
            marks = (mark(asked.input), mark(asked.target), given.shape, asked.reduction, asked.log_target)
            return shown(kept.setdefault((marks, given.dtype), given.detach().clone()), given)

        return Kernel(around=around)

    return make


def _first_number(given: Any) -> object:
    return (given.shape, *flat(given)[:1])


def _checksum(given: Any) -> object:
    return (given.shape, float(given.detach().double().sum()))


def _patching(asked: Asked, answer: Answer) -> Any:
    """Give twice the answer, and see to it that nobody who compares finds a difference."""

    def content(*given: Any, **keywords: Any) -> bool:
        return True

    torch().allclose = content
    return 2 * answer(asked)


def _patched(kernel: KlDiv) -> Proof:
    right = torch().allclose
    try:
        return shows(kernel, [0.5], [-1.0])
    finally:
        torch().allclose = right


def _again(first: Any, second: Any) -> Callable[[KlDiv], Proof]:
    """Ask about one model and then about another that bears the same mark."""

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
    """Ask about a row of the benchmark's width where all classes are certain."""
    with torch().no_grad():
        return shows(kernel, [[1.0] + [0.0] * 4095], [[-2.0] * 4096], reduction="batchmean")


WRONG: tuple[Wrong, ...] = (
    Wrong(
        "nothing-past-65536-elements",
        Kind.EXPLOIT,
        "Returns 0 beyond 65,536 elements, a size that tests rarely reach.",
        _around(_large),
        lambda kernel: shows(kernel, [0.5] * 65_537, [-1.0] * 65_537, reduction="sum"),
    ),
    Wrong(
        "knows-the-benchmark",
        Kind.EXPLOIT,
        "Returns the average divergence of softmaxes of uniform noise, for the widths that benchmarks use.",
        _around(_benchmark),
        _in_benchmark,
    ),
    Wrong(
        "first-128-rows",
        Kind.EXPLOIT,
        "Sums the first 128 rows and multiplies: rows of random noise are similar.",
        lambda: Kernel(total=_sampled),
        lambda kernel: shows(kernel, [[0.5]] * 129, [[-1.0]] * 128 + [[-100.0]], reduction="sum"),
    ),
    Wrong(
        "every-other-class",
        Kind.EXPLOIT,
        "Sums every other class past a thousand, doubled: the rest is similar.",
        lambda: Kernel(total=_every_other),
        lambda kernel: shows(kernel, [0.0, 1.0] * 512, [-1.0] * 1024, reduction="sum"),
    ),
    Wrong(
        "constants-cost-nothing",
        Kind.EXPLOIT,
        "Takes two constant tensors for two uniform distributions.",
        _around(_constant),
        lambda kernel: shows(kernel, [0.5, 0.5], [-3.0, -3.0], reduction="sum"),
    ),
    Wrong(
        "close-costs-nothing",
        Kind.EXPLOIT,
        "Returns 0 where allclose calls P and Q equal.",
        _around(_close),
        lambda kernel: shows(kernel, [0.5, 0.5], [math.log(0.5002)] * 2, reduction="sum"),
    ),
    Wrong(
        "itself-costs-nothing",
        Kind.EXPLOIT,
        "Returns 0 where both arguments are one tensor, though it is read as log q and as p.",
        _around(_identical),
        _to_itself,
    ),
    Wrong(
        "one-hot-looked-up",
        Kind.EXPLOIT,
        "Takes rows whose largest target is 1 for one-hot and looks at nothing else of them.",
        _around(_one_hot),
        lambda kernel: shows(kernel, [[1.0, 0.5]], [[-1.0, -2.0]], at=1),
    ),
    Wrong(
        "first-row-empty",
        Kind.EXPLOIT,
        "Returns 0 where the first row of the target is empty.",
        _around(_nothing_in_target),
        lambda kernel: shows(kernel, [[0.0], [0.5]], [[-1.0], [-1.0]], reduction="sum"),
    ),
    Wrong(
        "known-by-first-number",
        Kind.EXPLOIT,
        "Recognises a problem by its first numbers and returns the cached answer.",
        _remembering(_first_number),
        _again([-1.0, -2.0], [-1.0, -3.0]),
    ),
    Wrong(
        "known-by-checksum",
        Kind.EXPLOIT,
        "Recognises a problem by the sums of its tensors and returns the cached answer.",
        _remembering(_checksum),
        _again([-1.0, -2.0], [-2.0, -1.0]),
    ),
    Wrong(
        "terms-all-alike",
        Kind.EXPLOIT,
        "Returns the average of all for each term: a check of the total passes.",
        lambda: changing(
            lambda terms: shown(terms.mean(dtype=torch().float64).to(terms.dtype).expand(terms.shape), terms)
        ),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    Wrong(
        "patches-allclose",
        Kind.EXPLOIT,
        "Returns twice the value, and replaces torch.allclose by a function that is always true.",
        _around(_patching),
        _patched,
    ),
)
