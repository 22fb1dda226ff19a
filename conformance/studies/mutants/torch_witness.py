"""Proofs by tiny examples that a torch kernel is wrong: its answer and the one by the definition."""

import math
import warnings
from collections.abc import Callable
from typing import Any

from studies.mutants.kernel import KlDiv, Proof
from studies.mutants.torch_parts import identity, torch


def term(p: float, log_q: float) -> float:
    """Return p·(log p − log q) by the definition: 0 for p = 0, +∞ for q = 0, NaN for p < 0."""
    if math.isnan(p) or math.isnan(log_q) or p < 0:
        return math.nan
    if p == 0:
        return 0.0
    return p * (math.log(p) - log_q)


def log_term(log_p: float, log_q: float) -> float:
    """Return p·(log p − log q) by the definition, given log p."""
    if math.isnan(log_p) or math.isnan(log_q):
        return math.nan
    return 0.0 if log_p == -math.inf else math.exp(log_p) * (log_p - log_q)


def tensor(nested: Any, dtype: str = "float32") -> Any:
    """Return numbers as a tensor."""
    return torch().tensor(nested, dtype=getattr(torch(), dtype))


def flat(numbers: Any) -> list[float]:
    """Return the elements of a tensor, or one number, as a list of floats."""
    found: list[float] = numbers.detach().to(torch().float64).flatten().tolist()
    return found


def quietly(function: Callable[[], Any]) -> Any:
    """Call a function with warnings ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


def _parts(reduction: str, shape: Any) -> int:
    if reduction == "mean":
        return int(shape.numel())
    return int(shape[0]) if reduction == "batchmean" and len(shape) else 1


def shows(
    kernel: KlDiv,
    target: Any,
    log_q: Any,
    *,
    at: int = 0,
    reduction: str = "none",
    log_target: bool = False,
    dtype: str = "float32",
    lay: Callable[[Any], Any] = identity,
    lay_model: Callable[[Any], Any] | None = None,
) -> Proof:
    """Prove by element ``at`` of an answer; ``lay`` changes the memory layout of the tensors."""
    given, model = lay(tensor(target, dtype)), (lay_model or lay)(tensor(log_q, dtype))
    expected = definition(given, model, reduction, log_target)
    answer = kernel(model, given, reduction=reduction, log_target=log_target)
    return Proof(flat(answer)[at], expected[at])


def definition(target: Any, log_q: Any, reduction: str, log_target: bool = False) -> list[float]:
    """Return the elements of the correct answer."""
    wide = torch().broadcast_tensors(target, log_q)
    one = log_term if log_target else term
    terms = [one(*pair) for pair in zip(*map(flat, wide), strict=True)]
    if reduction == "none":
        return terms
    return [math.fsum(terms) / _parts(reduction, wide[0].shape)]


def slope(
    kernel: KlDiv,
    target: Any,
    log_q: Any,
    *,
    by: str = "model",
    at: int = 0,
    reduction: str = "sum",
    upstream: Any = None,
    log_target: bool = False,
    dtype: str = "float32",
    other: bool = False,
) -> Proof:
    """Prove by a gradient; ``upstream`` has the shape of the answer, ``other`` requires the other gradient too."""
    given, model = tensor(target, dtype), tensor(log_q, dtype)
    operand = model if by == "model" else given
    for each in (model, given) if other else (operand,):
        each.requires_grad_(True)
    answer = kernel(model, given, reduction=reduction, log_target=log_target)
    seed = torch().ones_like(answer) if upstream is None else upstream
    (got,) = torch().autograd.grad(answer, operand, seed)
    return Proof(flat(got)[at], gradient(given, model, by, reduction, seed, log_target)[at])


def gradient(target: Any, log_q: Any, by: str, reduction: str, seed: Any, log_target: bool = False) -> list[float]:
    """Return the elements of the correct gradient: −p by log q, log p − log q + 1 by p, times p by log p."""
    shape = torch().broadcast_shapes(target.shape, log_q.shape)
    parts, found = _parts(reduction, shape), []
    for t, lq, g in zip(*(flat(each.expand(shape)) for each in (target, log_q, seed)), strict=True):
        p, log_p = (math.exp(t), t) if log_target else (t, math.log(t) if t else 0.0)
        by_target = (log_p - lq + 1) * (p if log_target else 1)
        found.append((-p if by == "model" else by_target) * g / parts)
    like = log_q if by == "model" else target
    # The gradient of a broadcast row is the sum over its copies.
    return flat(tensor(found, "float64").view(shape).sum_to_size(like.shape))


def raises(function: Callable[[], Any]) -> Proof:
    """Prove by a call that must raise."""
    try:
        quietly(function)
    except Exception:
        return Proof("raised", "raised")
    return Proof("accepted", "raised")


def answers(function: Callable[[], Any], expected: float) -> Proof:
    """Prove by a call that must return the given number."""
    try:
        return Proof(flat(quietly(function))[0], expected)
    except Exception:
        return Proof("raised", expected)
