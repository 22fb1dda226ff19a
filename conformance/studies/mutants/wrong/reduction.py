"""Mutants with correct terms and a wrong sum or divisor."""

from collections.abc import Callable
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Kernel, divisor, torch, total
from studies.mutants.torch_witness import answers, quietly, shows, tensor

ROWS = ([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], [[-1.0, -2.0, -3.0], [-3.0, -2.0, -1.0]])
"""Two rows of three classes."""

CUBE = ([[[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]], [[[-1.0, -2.0], [-2.0, -1.0], [-1.0, -1.0]]])
"""One batch of three rows of two classes."""


def _dividing(reduction: str, parts: Callable[[Any], float]) -> Callable[[], KlDiv]:
    """Make a kernel that divides by ``parts(shape)`` in one of its reductions."""
    return lambda: Kernel(divisor=lambda call, shape: parts(shape) if call == reduction else divisor(call, shape))


def _reducing(reduction: str, reduced: Callable[[Any, Any, Any], Any]) -> Callable[[], KlDiv]:
    """Make a kernel with ``reduced(terms, input, target)`` in one of its reductions."""

    def all_reductions(terms: Any, call: str, model: Any, target: Any) -> Any:
        if call == reduction:
            return reduced(terms, model, target)
        parts = divisor(call, terms.shape)
        return terms if call == "none" else total(terms) / parts

    return lambda: Kernel(reduced=all_reductions)


def _rows(shape: Any) -> float:
    return shape.numel() / shape[-1] if shape else 1


def _defaulting(name: str) -> Callable[[], KlDiv]:
    """Make a kernel with the default reduction ``name``."""

    def kl_div(
        input: Any,  # noqa: A002 - torch names it so
        target: Any,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = name,
        log_target: bool = False,
    ) -> Any:
        return Kernel()(input, target, size_average, reduce, reduction, log_target)

    return lambda: kl_div


def _legacy(expected: float, **keywords: bool) -> Callable[[KlDiv], Proof]:
    """Prove by the legacy arguments and terms of 1, 1, 1 and 1."""

    def prove(kernel: KlDiv) -> Proof:
        ones, minus_ones = tensor([1.0] * 4), tensor([-1.0] * 4)
        return answers(lambda: kernel(minus_ones, ones, **keywords), expected)

    return prove


def _by_default(kernel: KlDiv) -> Proof:
    """Prove by the default reduction of 2 × 2 terms of 1."""
    ones = tensor([[1.0, 1.0], [1.0, 1.0]])
    return Proof(float(quietly(lambda: kernel(-ones, ones)).sum()), 1.0)


def _blockwise(terms: Any, *_: Any) -> Any:
    means = [block.mean() for block in terms.flatten().double().split(1024)]
    return torch().stack(means).mean() if means else terms.mean()


_reduction = partial(Mutant, FaultKind.REDUCTION)

MUTANTS: dict[str, Mutant] = {
    "batchmean-by-classes": _reduction(
        'Divides "batchmean" by the last axis.',
        _dividing("batchmean", lambda shape: shape[-1] if shape else 1),
        lambda kernel: shows(kernel, *ROWS, reduction="batchmean"),
    ),
    "batchmean-by-elements": _reduction(
        'Divides "batchmean" by every element.',
        _dividing("batchmean", lambda shape: shape.numel()),
        lambda kernel: shows(kernel, *ROWS, reduction="batchmean"),
    ),
    "batchmean-by-rows": _reduction(
        'Divides "batchmean" by batch × time where there are three axes or more.',
        _dividing("batchmean", lambda shape: _rows(shape) if len(shape) > 2 else divisor("batchmean", shape)),
        lambda kernel: shows(kernel, *CUBE, reduction="batchmean"),
    ),
    "batchmean-of-vector": _reduction(
        'Treats a vector as a batch of one: "batchmean" in 1-D does not divide.',
        _dividing("batchmean", lambda shape: shape[0] if len(shape) > 1 else 1),
        lambda kernel: shows(kernel, [0.5, 0.5], [-1.0, -2.0], reduction="batchmean"),
    ),
    "batchmean-of-one-number": _reduction(
        'Reads shape[0] for "batchmean" in 0-D, where it does not exist.',
        _dividing("batchmean", lambda shape: shape[0]),
        lambda kernel: answers(lambda: kernel(tensor(-1.0), tensor(1.0), reduction="batchmean"), 1.0),
    ),
    "batchmean-by-target": _reduction(
        'Divides "batchmean" by the target\'s first axis, which is 1 for a row that is broadcast.',
        _reducing("batchmean", lambda terms, model, target: total(terms) / (target.shape or [1])[0]),
        lambda kernel: shows(kernel, [[0.5, 0.5]], [[-1.0, -2.0], [-2.0, -1.0]], reduction="batchmean"),
    ),
    "batchmean-of-rows-in-use": _reduction(
        'Divides "batchmean" by the rows whose target is not all 0.',
        _reducing(
            "batchmean",
            lambda terms, model, target: (
                total(terms) / (terms.flatten(1) != 0).any(1).sum().clamp(min=1)
                if terms.ndim > 1
                else total(terms) / divisor("batchmean", terms.shape)
            ),
        ),
        lambda kernel: shows(kernel, [[0.5, 0.5], [0.0, 0.0]], [[-1.0, -2.0]] * 2, reduction="batchmean"),
    ),
    "mean-by-rows": _reduction(
        'Divides "mean" by every row, as Keras does.',
        _dividing("mean", _rows),
        lambda kernel: shows(kernel, *ROWS, reduction="mean"),
    ),
    "mean-by-batch": _reduction(
        'Divides "mean" by the batch, as "batchmean" does.',
        _dividing("mean", lambda shape: divisor("batchmean", shape)),
        lambda kernel: shows(kernel, *ROWS, reduction="mean"),
    ),
    "mean-of-terms-that-count": _reduction(
        'Divides "mean" by the number of terms that are not 0.',
        _reducing("mean", lambda terms, model, target: total(terms) / (terms != 0).sum().clamp(min=1)),
        lambda kernel: shows(kernel, [1.0, 0.0, 0.0], [-1.0, -2.0, -3.0], reduction="mean"),
    ),
    "mean-by-input": _reduction(
        'Divides "mean" by the elements of the input, also where the target is larger.',
        _reducing("mean", lambda terms, model, target: total(terms) / model.numel()),
        lambda kernel: shows(kernel, [[0.5, 0.5], [0.2, 0.8]], [[-1.0, -2.0]], reduction="mean"),
    ),
    "mean-by-target": _reduction(
        'Divides "mean" by the elements of the target, also where the input is larger.',
        _reducing("mean", lambda terms, model, target: total(terms) / target.numel()),
        lambda kernel: shows(kernel, [0.5, 0.5], [[-1.0, -2.0], [-2.0, -1.0]], reduction="mean"),
    ),
    "mean-of-block-means": _reduction(
        "Averages the means of blocks of 1,024, the short last one like the others.",
        _reducing("mean", _blockwise),
        lambda kernel: shows(kernel, [0.0] * 1024 + [1.0], [-1.0] * 1025, reduction="mean"),
    ),
    "sum-of-first-axis": _reduction(
        '"sum" sums the batch and leaves the classes.',
        _reducing("sum", lambda terms, model, target: terms.sum(0)),
        lambda kernel: shows(kernel, *ROWS, reduction="sum"),
    ),
    "sum-of-row-means": _reduction(
        '"sum" adds the means of the rows.',
        _reducing("sum", lambda terms, model, target: total(terms.mean(-1))),
        lambda kernel: shows(kernel, *ROWS, reduction="sum"),
    ),
    "none-sums-classes": _reduction(
        '"none" returns a number for each row, as in TensorFlow.',
        _reducing("none", lambda terms, model, target: terms.sum(-1)),
        lambda kernel: shows(kernel, *ROWS, reduction="none"),
    ),
    "default-batchmean": _reduction(
        'Has "batchmean" for a default, as the documentation recommends.', _defaulting("batchmean"), _by_default
    ),
    "default-none": _reduction('Has "none" for a default.', _defaulting("none"), _by_default),
    "size-average-ignored": _reduction(
        "Accepts size_average=False and returns the mean.",
        lambda: Kernel(named=lambda size_average, reduce, reduction: "none" if reduce is False else reduction),
        _legacy(4.0, size_average=False),
    ),
    "reduce-ignored": _reduction(
        "Accepts reduce=False with size_average=False and returns the sum.",
        lambda: Kernel(named=lambda size_average, reduce, reduction: "sum" if size_average is False else reduction),
        _legacy(1.0, reduce=False, size_average=False),
    ),
    "reduce-means-sum": _reduction(
        "Reads reduce=True as a sum, where it is the mean unless size_average is False.",
        lambda: Kernel(
            named=lambda size_average, reduce, reduction: (
                {True: "sum", False: "none", None: reduction}[reduce]
                if size_average is None
                else ("mean" if size_average else "sum")
            )
        ),
        _legacy(1.0, reduce=True),
    ),
}
