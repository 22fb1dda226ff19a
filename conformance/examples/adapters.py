"""Kernels with other signatures, each adapted to the suite in at most twenty lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from kl_conformance.frameworks.call import Call
from kl_conformance.implementations.implementation import Implementation
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype

FLOATS = (Dtype.FLOAT32, Dtype.FLOAT64)


def terms(p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Return the terms p·(log p − log q), 0 where p = 0, from which all kernels here are built."""
    if p.shape != log_q.shape:
        raise ValueError(f"P has the shape {tuple(p.shape)}, Q {tuple(log_q.shape)}")
    empty = (p == 0) & ~log_q.isnan()
    return p * (p.masked_fill(empty, 1).log() - log_q.masked_fill(empty, 0))


# --- own argument order and names --------------------------------------------------------


def distillation(*, teacher: torch.Tensor, student: torch.Tensor, average: str) -> torch.Tensor:
    """Kernel: probabilities of the teacher, log-probabilities of the student; average "token" or "nothing"."""
    if average not in {"token", "nothing"}:
        raise ValueError(f"unknown average {average!r}; known: token, nothing")
    found = terms(teacher, student).sum(-1)
    return found.mean() if average == "token" else found


def call_distillation(modules: Any, call: Call) -> torch.Tensor:
    """Call the kernel with its own argument names."""
    del modules
    return distillation(teacher=call.target, student=call.model, average=call.reduction or "nothing")


NAMED = Implementation(
    name="distillation",
    framework="torch",
    package="torch",
    convention=Convention(
        reductions={"token": Reduction.ROWMEAN, "nothing": Reduction.ROWS}, default="nothing", axis=-1
    ),
    call=call_distillation,
    dtypes=FLOATS,
    broadcasts=False,
)

# --- forward and backward as separate functions --------------------------------------------------------


def forward(log_q: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Kernel: the terms."""
    return terms(p, log_q)


def backward(log_q: torch.Tensor, p: torch.Tensor, upstream: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Kernel: the gradients by log q and by p."""
    slope = torch.where(p == 0, 0, p.log() - log_q + 1)
    return -p * upstream, slope * upstream


def gradient(modules: Any, call: Call, side: Side, upstream: Any) -> torch.Tensor:
    """Return the gradient by one side; without an upstream gradient, of ones."""
    del modules
    above = torch.ones_like(call.model) if upstream is None else upstream
    by_model, by_target = backward(call.model, call.target, above)
    return by_model if side is Side.MODEL else by_target


APART = Implementation(
    name="forward and backward apart",
    framework="torch",
    package="torch",
    convention=Convention(),
    call=lambda modules, call: forward(call.model, call.target),
    gradient=gradient,
    dtypes=FLOATS,
    broadcasts=False,
)

# --- outputs written in place ----------------------------------------------------------------------


def write_terms(out: torch.Tensor, log_q: torch.Tensor, p: torch.Tensor) -> None:
    """Kernel: write the terms into an existing tensor."""
    out.copy_(terms(p, log_q))


def call_write(modules: Any, call: Call) -> torch.Tensor:
    """Call the kernel with a tensor full of NaN, which shows elements that it does not write."""
    del modules
    out = torch.full_like(call.model, torch.nan)
    write_terms(out, call.model, call.target)
    return out


IN_PLACE = replace(APART, name="written in place", call=call_write, gradient=None)

# --- a linear layer, log_softmax and loss in one ---------------------------------------------------


def linear_kl(
    student: torch.Tensor, weight: torch.Tensor, teacher: torch.Tensor, teacher_weight: torch.Tensor
) -> torch.Tensor:
    """Kernel: hidden states (N, H) and weights (C, H) give the logits of both sides; returns one divergence per row."""
    log_q = torch.log_softmax(student @ weight.T, -1)
    return terms(torch.softmax(teacher @ teacher_weight.T, -1), log_q).sum(-1)


def call_linear(modules: Any, call: Call) -> torch.Tensor:
    """Pass exact logits, row by row: a hidden state of 1 and the logits as weights."""
    del modules
    rows = (each.reshape(-1, each.shape[-1]) for each in (call.model, call.target))
    one = call.model.new_ones(1, 1)
    found = [linear_kl(one, x[:, None], one, y[:, None]) for x, y in zip(*rows, strict=True)]
    return torch.cat(found).reshape(call.model.shape[:-1])


FUSED = Implementation(
    name="linear layer and loss in one",
    framework="torch",
    package="torch",
    convention=Convention(target=(Space.LOGITS,), model=(Space.LOGITS,), reductions={"none": Reduction.ROWS}, axis=-1),
    call=call_linear,
    dtypes=FLOATS,
    broadcasts=False,
)

# --- hard and soft labels --------------------------------------------------------------------------


def hard_and_soft(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, ignored: int = -100
) -> torch.Tensor:
    """Kernel: half the cross-entropy with labels, half the divergence from the teacher's logits, per row."""
    log_q = torch.log_softmax(student, -1)
    hard = torch.nn.functional.nll_loss(log_q, labels, ignore_index=ignored, reduction="none")
    return 0.5 * hard + 0.5 * terms(torch.softmax(teacher, -1), log_q).sum(-1)


def call_soft(modules: Any, call: Call) -> torch.Tensor:
    """Ignore every label, so that the result is half the divergence; doubling it is exact."""
    del modules
    student = call.model.reshape(-1, call.model.shape[-1])
    teacher = call.target.reshape(-1, call.target.shape[-1])
    labels = torch.full((len(student),), -100, device=student.device)
    return 2 * hard_and_soft(student, teacher, labels).reshape(call.model.shape[:-1])


SOFT = replace(FUSED, name="hard and soft labels", call=call_soft)
