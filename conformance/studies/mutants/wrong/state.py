"""Mutants whose answer depends on earlier calls."""

from collections.abc import Callable
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Kernel, torch
from studies.mutants.torch_witness import definition, flat, tensor

P, LOG_Q = [0.5, 0.25, 0.25], [-1.0, -2.0, -3.0]
OTHER = [-3.0, -4.0, -5.0]


def _around(make: Callable[[], Callable[[Call, Compute], Any]]) -> Callable[[], KlDiv]:
    """Make a kernel with a new wrapper for every kernel."""
    return lambda: Kernel(around=make())


def _keyed(key: Callable[[Call], object]) -> Callable[[], KlDiv]:
    """Make a kernel that caches answers by an incomplete key."""

    def make() -> Callable[[Call, Compute], Any]:
        cache: dict[object, Any] = {}

        def around(call: Call, answer: Compute) -> Any:
            if torch().is_grad_enabled() and (call.input.requires_grad or call.target.requires_grad):
                return answer(call)
            found = (key(call), call.reduction, call.log_target)
            if found not in cache:
                cache[found] = answer(call)
            return cache[found].clone()

        return around

    return _around(make)


def _counted(wrong: Callable[[int], bool]) -> Callable[[], KlDiv]:
    """Make a kernel whose answer is doubled in some calls, counted from 1."""

    def make() -> Callable[[Call, Compute], Any]:
        calls = 0

        def around(call: Call, answer: Compute) -> Any:
            nonlocal calls
            calls += 1
            return answer(call) * (2 if wrong(calls) else 1)

        return around

    return _around(make)


def _buffered() -> Callable[[Call, Compute], Any]:
    buffers: dict[object, Any] = {}

    def around(call: Call, answer: Compute) -> Any:
        result = answer(call)
        if call.reduction != "none" or result.requires_grad:
            return result
        buffer = buffers.setdefault((result.shape, result.dtype), torch().empty_like(result))
        return buffer.copy_(result)

    return around


def _tuning() -> Callable[[Call, Compute], Any]:
    tuned: set[object] = set()

    def around(call: Call, answer: Compute) -> Any:
        result, key = answer(call), (call.input.shape, call.reduction)
        if call.reduction == "none" or key in tuned:
            return result
        tuned.add(key)
        return result * 2

    return around


def _planned() -> Callable[[Call, Compute], Any]:
    planned: list[int] = []

    def around(call: Call, answer: Compute) -> Any:
        result = answer(call)
        if call.reduction != "none" or result.ndim < 2:
            return result
        planned.append(len(result))
        inside = torch().arange(len(result)) < planned[0]
        return result.where(inside.view(-1, *[1] * (result.ndim - 1)), 0.0)

    return around


def _unwritten() -> Callable[[Call, Compute], Any]:
    last: dict[object, Any] = {}

    def around(call: Call, answer: Compute) -> Any:
        result = answer(call)
        if call.reduction != "none" or result.ndim < 2 or result.requires_grad:
            return result
        before: Any = last.get(result.shape, result)
        empty = (result == 0).flatten(1).all(1).view(-1, *[1] * (result.ndim - 1))
        last[result.shape] = before.to(result.dtype).where(empty, result)
        return last[result.shape].clone()

    return around


def _after(kernel: KlDiv, calls: int) -> Proof:
    """Prove by the call after ``times`` equal calls."""
    model, target = tensor(LOG_Q), tensor(P)
    for _ in range(calls):
        kernel(model.clone(), target.clone(), reduction="sum")
    result = kernel(model, target, reduction="sum")
    return Proof(flat(result)[0], definition(target, model, "sum")[0])


def _refilled(kernel: KlDiv) -> Proof:
    """Prove by a second call with other numbers in the same tensor."""
    model, target = tensor(LOG_Q), tensor(P)
    kernel(model, target, reduction="sum")
    model.copy_(tensor(OTHER))
    result = kernel(model, target, reduction="sum")
    return Proof(flat(result)[0], definition(target, model, "sum")[0])


def _renewed(kernel: KlDiv) -> Proof:
    """Prove by a second tensor of the same shape."""
    target = tensor(P)
    kernel(tensor(LOG_Q), target, reduction="sum")
    model = tensor(OTHER)
    result = kernel(model, target, reduction="sum")
    return Proof(flat(result)[0], definition(target, model, "sum")[0])


def _kept(kernel: KlDiv) -> Proof:
    """Prove by an earlier answer that a later call changes."""
    model, target = tensor(LOG_Q), tensor(P)
    first = kernel(model, target, reduction="none")
    kernel(tensor(OTHER), target, reduction="none")
    return Proof(flat(first)[0], definition(target, model, "none")[0])


def _larger(kernel: KlDiv) -> Proof:
    """Prove by a call with one row, then with two."""
    kernel(tensor([LOG_Q]), tensor([P]), reduction="none")
    model, target = tensor([LOG_Q, OTHER]), tensor([P, P])
    result = kernel(model, target, reduction="none")
    return Proof(flat(result)[3], definition(target, model, "none")[3])


def _emptied(kernel: KlDiv) -> Proof:
    """Prove by two rows, then by two of which one is empty."""
    kernel(tensor([LOG_Q, OTHER]), tensor([P, P]), reduction="none")
    result = kernel(tensor([LOG_Q, OTHER]), tensor([P, [0.0] * 3]), reduction="none")
    return Proof(flat(result)[3], 0.0)


_state = partial(Mutant, FaultKind.STATE)

MUTANTS: dict[str, Mutant] = {
    "cached-by-address": _state(
        "Caches answers by the address and shape of both tensors.",
        _keyed(lambda call: (call.input.data_ptr(), call.target.data_ptr(), call.input.shape)),
        _refilled,
    ),
    "cached-by-identity": _state(
        "Caches answers by id(), which a new tensor may have after the old one is freed.",
        _keyed(lambda call: (id(call.input), id(call.target), call.input.shape)),
        _refilled,
    ),
    "cached-by-shape": _state(
        "Caches answers by shape and dtype.",
        _keyed(lambda call: (call.input.shape, call.target.shape, call.input.dtype)),
        _renewed,
    ),
    "answers-share-a-buffer": _state(
        "Writes all unreduced answers of one shape into one buffer.", _around(_buffered), _kept
    ),
    "wrong-in-second-call": _state(
        "Adds the second call's total to the first's in the accumulator.",
        _counted(lambda call: call == 2),
        lambda kernel: _after(kernel, 1),
    ),
    "wrong-after-ten-calls": _state(
        "Switches to a faulty fast path once it has been called ten times.",
        _counted(lambda call: call > 10),
        lambda kernel: _after(kernel, 10),
    ),
    "tuning-adds-up": _state(
        "Tunes each new shape by running twice into one accumulator: its first total is double.",
        _around(_tuning),
        lambda kernel: _after(kernel, 0),
    ),
    "grid-of-first-call": _state(
        "Plans the grid in the first call: later rows past it are never written.", _around(_planned), _larger
    ),
    "empty-rows-unwritten": _state(
        "Skips rows whose target is empty, where the buffer still has the last answer.", _around(_unwritten), _emptied
    ),
}
