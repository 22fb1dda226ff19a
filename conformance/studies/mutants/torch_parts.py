"""A correct kl_div for PyTorch in parts, each of which a mutant can replace by a faulty one."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

Pair = Callable[[Any, Any], Any]
"""Maps p (or log p) and log q, tensors that broadcast, to the terms."""


def torch() -> Any:
    """Return PyTorch, imported at the first call of a kernel."""
    return importlib.import_module("torch")


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one call, with the legacy arguments resolved to a reduction."""

    input: Any
    target: Any
    reduction: str
    log_target: bool


Compute = Callable[[Call], Any]


def guarded(plain: Pair, zero: float = 0.0) -> Pair:
    """Return terms that are 0 where the target is ``zero`` and log q is not NaN, without evaluating ``plain`` there."""

    def terms(target: Any, log_q: Any) -> Any:
        counted = (target != zero) | log_q.isnan()
        return plain(target.where(counted, 1.0), log_q.where(counted, 0.0)).where(counted, 0.0)

    return terms


term = guarded(lambda p, log_q: p * (p.log() - log_q))
"""Returns p·(log p − log q), 0 where p = 0."""

log_term = guarded(lambda log_p, log_q: log_p.exp() * (log_p - log_q), zero=-math.inf)
"""Returns e^(log p)·(log p − log q), 0 where log p = −∞."""


def total(terms: Any) -> Any:
    """Return the sum of all terms in float64; the caller divides it before rounding."""
    return terms.sum(dtype=torch().float64)


def divisor(reduction: str, shape: Any) -> int:
    """Return the divisor of the sum of terms of this shape.

    Raises
    ------
    ValueError
        The reduction is unknown.
    """
    match reduction:
        case "none" | "sum":
            return 1
        case "mean":
            return int(shape.numel())
        case "batchmean":
            return int(shape[0]) if shape else 1
        case _:
            raise ValueError(f"unknown reduction {reduction!r}; known: none, sum, mean, batchmean")


def named(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return the reduction that the legacy arguments select, and warn as torch does."""
    if size_average is None and reduce is None:
        return reduction
    warnings.warn("size_average and reduce are deprecated, use reduction", stacklevel=4)
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def directly(call: Call, answer: Compute) -> Any:
    """Compute the answer of a call, without state."""
    return answer(call)


def identity(tensor: Any) -> Any:
    """Return the argument."""
    return tensor


def pair(model: Any, target: Any) -> tuple[Any, Any]:
    """Return both arguments."""
    return model, target


def changing(change: Callable[[Any], Any]) -> Kernel:
    """Return a kernel whose terms are changed before they are reduced, for both kinds of target."""
    return Kernel(
        term=lambda p, log_q: change(term(p, log_q)), log_term=lambda log_p, log_q: change(log_term(log_p, log_q))
    )


def differentiated(name: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    """Return a function of tensors with its own backward pass, as an autograd.Function."""
    parts = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    made: Any = type(name, (torch().autograd.Function,), parts)
    return made.apply


def shown(value: Any, exact: Any) -> Any:
    """Return ``value`` with the gradient of ``exact``: the fault is in the value only."""

    def forward(context: Any, exact: Any, value: Any) -> Any:
        return value.clone()

    def backward(context: Any, upstream: Any) -> Any:
        return upstream, None

    return differentiated("Shown", forward, backward)(exact, value.detach().to(exact.dtype))


def computed(dtype: Any) -> tuple[Any, Any]:
    """Return the computation dtype and the result dtype, for the promoted dtype of the inputs."""
    if not dtype.is_floating_point:
        dtype = torch().get_default_dtype()
    return (torch().float32 if dtype.itemsize < 4 else dtype), dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A correct kl_div, differentiated by PyTorch.

    Parameters
    ----------
    named
        ``named(size_average, reduce, reduction)`` reads the legacy arguments.
    around
        ``around(call, answer)`` wraps the whole call; ``answer(call)`` computes it by the other parts.
    before
        ``before(input, target)`` transforms both tensors first.
    computed
        The computation dtype and the result dtype.
    term, log_term
        The terms of a target in probabilities, or in log-probabilities.
    total, divisor
        The parts of a reduction; ``reduced(terms, reduction, input, target)`` replaces both.
    after
        Transforms the answer last.
    """

    named: Callable[[bool | None, bool | None, str], str] = named
    around: Callable[[Call, Compute], Any] = directly
    before: Callable[[Any, Any], tuple[Any, Any]] = pair
    computed: Callable[[Any], tuple[Any, Any]] = computed
    term: Pair = term
    log_term: Pair = log_term
    total: Callable[[Any], Any] = total
    divisor: Callable[[str, Any], float] = divisor
    reduced: Callable[[Any, str, Any, Any], Any] | None = None
    after: Callable[[Any], Any] = identity

    def __call__(
        self,
        input: Any,  # noqa: A002 - torch names it so
        target: Any,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> Any:
        """Answer one call, as ``torch.nn.functional.kl_div`` is documented."""
        name = self.named(size_average, reduce, reduction)
        return self.around(Call(input, target, name, log_target), self.answer)

    def answer(self, call: Call) -> Any:
        """Compute one call by the other parts."""
        model, target = self.before(call.input, call.target)
        wide, dtype = self.computed(torch().result_type(model, target))
        made = (self.log_term if call.log_target else self.term)(target.to(wide), model.to(wide))
        if self.reduced is not None:
            return self.after(self.reduced(made, call.reduction, model, target).to(dtype))
        parts = self.divisor(call.reduction, made.shape)
        whole = made if call.reduction == "none" else self.total(made) / parts
        return self.after(whole.to(dtype))


Slope = Callable[[Any, Any, Any], Any]
"""Maps p, log p and log q to the derivative of one term."""


def by_model(p: Any, log_p: Any, log_q: Any) -> Any:
    """Return the derivative by log q, −p."""
    del log_p, log_q
    return -p


def by_target(p: Any, log_p: Any, log_q: Any) -> Any:
    """Return the derivative by p, log p − log q + 1, and 0 where p = 0."""
    return (log_p - log_q + 1).where(p != 0, 0.0)


def by_log_target(p: Any, log_p: Any, log_q: Any) -> Any:
    """Return the derivative by log p, p·(log p − log q + 1), and 0 where p = 0."""
    return (p * (log_p - log_q + 1)).where(p != 0, 0.0)


def carried(upstream: Any, shape: Any) -> Any:
    """Return the upstream gradient of every term."""
    return upstream.expand(shape)


def gathered(gradient: Any, like: Any) -> Any:
    """Return a gradient summed over the axes along which its operand was broadcast."""
    return gradient.sum_to_size(like.shape).to(like.dtype)


def both(context: Any, call: Call, model: Any, target: Any) -> tuple[Any, Any]:
    """Return both gradients; one that is not required is None."""
    del context, call
    return model, target


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A correct kl_div with its own backward pass.

    Parameters
    ----------
    forward
        Computes the answer.
    by_model, by_target, by_log_target
        The derivatives of one term.
    factor
        Divisor of the derivatives, from the reduction and the shape of the terms.
    carried, gathered
        Expand the upstream gradient to the terms, and reduce a gradient to the shape of its operand.
    last
        ``last(context, call, by_input, by_target)`` transforms both gradients; the context has
        ``needs_input_grad`` and ``saved_tensors``.
    """

    forward: Kernel = field(default_factory=Kernel)
    by_model: Slope = by_model
    by_target: Slope = by_target
    by_log_target: Slope = by_log_target
    factor: Callable[[str, Any], float] = divisor
    carried: Callable[[Any, Any], Any] = carried
    gathered: Callable[[Any, Any], Any] = gathered
    last: Callable[[Any, Call, Any, Any], tuple[Any, Any]] = both

    def __call__(self, *given: Any, **keywords: Any) -> Any:
        """Answer one call, as ``torch.nn.functional.kl_div`` is documented."""
        return replace(self.forward, around=self._around)(*given, **keywords)

    def _around(self, call: Call, answer: Compute) -> Any:
        def forward(context: Any, model: Any, target: Any) -> Any:
            context.save_for_backward(model, target)
            return self.forward.around(replace(call, input=model, target=target), answer)

        def backward(context: Any, upstream: Any) -> Any:
            return self._backward(context, upstream, call)

        return differentiated("Divergence", forward, backward)(call.input, call.target)

    def _backward(self, context: Any, upstream: Any, call: Call) -> tuple[Any, Any]:
        model, target = context.saved_tensors
        wide, _ = computed(torch().result_type(model, target))
        log_q, given = model.to(wide), target.to(wide)
        p, log_p = (given.exp(), given) if call.log_target else (given, given.log())
        shape = torch().broadcast_shapes(model.shape, target.shape)
        seed = self.carried(upstream.to(wide), shape) / self.factor(call.reduction, shape)
        by_target = self.by_log_target if call.log_target else self.by_target
        gradients: list[Any] = [None, None]
        for side, (slope, like) in enumerate(((self.by_model, model), (by_target, target))):
            if context.needs_input_grad[side]:
                gradients[side] = self.gathered(slope(p, log_p, log_q) * seed, like)
        return self.last(context, call, *gradients)
