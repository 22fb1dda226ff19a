"""Mutants that return a number where an error is required."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Kernel, divisor, torch, total
from studies.mutants.torch_witness import answers, raises, tensor

KNOWN = ("none", "mean", "sum", "batchmean")


def _as(change: Callable[[str], str]) -> Callable[[], KlDiv]:
    """Make a kernel that maps unknown reductions to known ones."""

    def around(call: Call, answer: Compute) -> Any:
        known = call.reduction in KNOWN
        return answer(call if known else replace(call, reduction=change(call.reduction)))

    return lambda: Kernel(around=around)


def _same_shapes(change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[], KlDiv]:
    """Make a kernel that accepts shapes that do not broadcast."""

    def before(model: Any, target: Any) -> tuple[Any, Any]:
        try:
            torch().broadcast_shapes(model.shape, target.shape)
        except RuntimeError:
            return change(model, target)
        return model, target

    return lambda: Kernel(before=before)


def _smallest(model: Any, target: Any) -> tuple[Any, Any]:
    if model.ndim != target.ndim:
        raise ValueError(f"{model.ndim} axes against {target.ndim}")
    cut = tuple(slice(min(pair)) for pair in zip(model.shape, target.shape, strict=True))
    return model[cut], target[cut]


def _flat(model: Any, target: Any) -> tuple[Any, Any]:
    return model, target.reshape(model.shape)


def _repeated(model: Any, target: Any) -> tuple[Any, Any]:
    if model.numel() % target.numel():
        raise ValueError(f"{tuple(model.shape)} against {tuple(target.shape)}")
    return model, target.flatten().repeat(model.numel() // target.numel()).view(model.shape)


def _by_rows(model: Any, target: Any) -> tuple[Any, Any]:
    return model, target.unsqueeze(-1)


def _swallowing(call: Call, answer: Compute) -> Any:
    try:
        return answer(call)
    except Exception:
        return torch().zeros(())


def _nan_for_mismatch(call: Call, answer: Compute) -> Any:
    try:
        return answer(call)
    except RuntimeError:
        return torch().full((), torch().nan)


def _uniform_for_none(model: Any, target: Any) -> tuple[Any, Any]:
    return model, torch().full_like(model, 1 / model.shape[-1]) if target is None else target


def _anything(model: Any, target: Any) -> tuple[Any, Any]:
    return model, target if torch().is_tensor(target) else torch().full_like(model, _number(target))


def _number(thing: Any) -> float:
    try:
        return float(thing)
    except (TypeError, ValueError):
        return 0.0


def _input_like_target(model: Any, target: Any) -> tuple[Any, Any]:
    return model.to(target.dtype), target


def _answered_like_target(terms: Any, reduction: str, model: Any, target: Any) -> Any:
    parts = divisor(reduction, terms.shape)
    whole = terms if reduction == "none" else total(terms) / parts
    return whole.to(target.dtype)


def _of_one_hot(kernel: KlDiv) -> Proof:
    """Prove by a one-hot target of integers."""
    given = torch().tensor([0, 1])
    return answers(lambda: kernel(tensor([-0.25, -1.5]), given, reduction="sum"), 1.5)


def _unknown(kernel: KlDiv, reduction: str = "averge") -> Proof:
    return raises(lambda: kernel(tensor([-1.0]), tensor([0.5]), reduction=reduction))


def _against(target: Any) -> Callable[[KlDiv], Proof]:
    """Prove by a 2 × 3 model and another target."""
    return lambda kernel: raises(
        lambda: kernel(tensor([[-1.0] * 3] * 2), tensor(target) if isinstance(target, list) else target)
    )


_error = partial(Mutant, FaultKind.ERROR)

MUTANTS: dict[str, Mutant] = {
    "unknown-reduction-is-mean": _error(
        "Computes the mean for an unknown reduction.", _as(lambda name: "mean"), _unknown
    ),
    "unknown-reduction-is-none": _error(
        "Falls through for an unknown reduction and returns the terms.", _as(lambda name: "none"), _unknown
    ),
    "unknown-reduction-gives-nothing": _error(
        "Prints that the reduction is unknown and returns an empty tensor.",
        lambda: Kernel(around=lambda call, answer: answer(call) if call.reduction in KNOWN else torch().empty(0)),
        _unknown,
    ),
    "reduction-by-first-letter": _error(
        'Reads only the first letter of a reduction: "median" is a mean.',
        _as(lambda name: {"m": "mean", "s": "sum", "b": "batchmean", "n": "none"}.get(name[:1], name)),
        lambda kernel: _unknown(kernel, "median"),
    ),
    "shapes-cut-to-the-smallest": _error(
        "Cuts both tensors to the shape they have in common.",
        _same_shapes(_smallest),
        _against([[0.5, 0.5], [0.5, 0.5]]),
    ),
    "equal-counts-accepted": _error(
        "Compares the numbers of elements and reads the target as if it had the input's shape.",
        _same_shapes(_flat),
        _against([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]),
    ),
    "small-target-repeated": _error(
        "Repeats a target that fits into the input several times.", _same_shapes(_repeated), _against([0.5, 0.5])
    ),
    "target-without-classes": _error(
        "Adds a class axis to a target that has one number per row.", _same_shapes(_by_rows), _against([0.5, 0.5])
    ),
    "mismatch-is-nan": _error(
        "Returns NaN for shapes that do not broadcast.", lambda: Kernel(around=_nan_for_mismatch), _against([0.5, 0.5])
    ),
    "errors-swallowed": _error(
        "Catches every exception and returns 0.", lambda: Kernel(around=_swallowing), _against([0.5, 0.5])
    ),
    "missing-target-uniform": _error(
        "Treats a target of None as the uniform distribution.", lambda: Kernel(before=_uniform_for_none), _against(None)
    ),
    "strings-are-zero": _error(
        "Converts any argument that is no tensor to a number, and text to 0.",
        lambda: Kernel(before=_anything),
        _against("three fifths"),
    ),
    "input-cut-to-integers": _error(
        "Converts the input to the target's dtype: with a one-hot target of integers, −1.5 is −1.",
        lambda: Kernel(before=_input_like_target),
        _of_one_hot,
    ),
    "answer-cut-to-integers": _error(
        "Stores the answer in the target's dtype: with a one-hot target of integers, 1.5 is 1.",
        lambda: Kernel(reduced=_answered_like_target),
        _of_one_hot,
    ),
}
