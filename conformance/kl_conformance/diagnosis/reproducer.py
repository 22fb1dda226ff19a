"""A failure as a short script that imports nothing of ours: what somebody pastes into a bug report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_cases.bits import decode, encode
from kl_conformance.diagnosis.dialect import COMPILED, SET, Dialect, NotExpressibleError, call_of
from kl_conformance.diagnosis.libraries import LIBRARIES
from kl_conformance.implementations.source import KernelSource
from kl_conformance.judging.cache import reference, reference_gradient
from kl_conformance.judging.call_description import CallDescription, decode_call
from kl_conformance.judging.judgement import Criterion
from kl_conformance.judging.upstream import UpstreamKind, upstream_of
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Enclosure
from kl_reference.problem import Operand, Problem
from kl_reference.tolerance import Profile, tolerance
from kl_reports.runfile.records import Column, Kind, chapter_of

# What other chapters judge needs more than one call: several of them, threads, compilers, weights, much memory.
ALONE = {"values", "support", "signs", "gradients", "reductions", "layouts", "identities"}
# What must raise, where the operands or the reduction's name alone say why.
RAISING = {"errors/shape-mismatch", "errors/class-mismatch", "errors/unknown-reduction"}
NAMES = re.compile(r"\b(?:inf|isfinite|nan)\b")  # what a script takes from `math`
LINES = 15
LONGEST = 4000  # characters of a line


@dataclass(frozen=True, slots=True)
class ReproducedCall:
    """The one call behind a witness, and the layout of either operand."""

    problem: Problem
    call: CallDescription
    layouts: Mapping[Side, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """The lines with which a script ends and fails, and the upstream gradient it passes, if any."""

    lines: tuple[str, ...]
    upstream: Operand | None = None


def reproducer(
    requirement: str,
    column: Column,
    witness: Mapping[str, Any],
    brought: KernelSource | None = None,
) -> str:
    """Return a script that shows a failure, or an empty string where no short honest one is known.

    Parameters
    ----------
    requirement, column
        Which cell is broken.
    witness
        The failure as a run file has it.
    brought
        Where a user's kernel lies; None for a known implementation.

    Returns
    -------
    str
        At most 15 lines: exact inputs, the call as its users write it, what is right, and an assertion that fails
        as long as the failure is there.
    """
    library = LIBRARIES.get(column.framework)
    if library is None or not (requirement in RAISING or chapter_of(requirement) in ALONE):
        return ""
    try:
        if max(len(witness[side]["bits"]) for side in ("target", "model")) > LONGEST:
            return ""  # no line has room for so many numbers: nobody need work out what is right
        question = _understood(witness)
        claim = None if question is None else _claim(requirement, question, witness)
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return ""  # a witness of another day, or a question the reference has no answer to
    if question is None or claim is None:
        return ""
    try:
        title, *rest = _lines(requirement, column, question, claim, library, brought)
    except NotExpressibleError:
        return ""
    words = sorted({word for line in rest for word in NAMES.findall(line)})
    lines = [title, *([f"from math import {', '.join(words)}"] if words else []), *rest]
    fit = len(lines) <= LINES and max(map(len, lines)) <= LONGEST
    return "\n".join(lines) + "\n" if fit else ""


def _understood(witness: Mapping[str, Any]) -> ReproducedCall | None:
    """Return the one call behind a witness; None where it took more than one plain call."""
    call = decode_call(witness)
    if not call.function:
        return None
    return ReproducedCall(
        _problem(witness), call, {side: str(witness["layout"][side.value]) for side in Side}
    )


def _claim(requirement: str, question: ReproducedCall, witness: Mapping[str, Any]) -> Claim | None:
    """Return what can be claimed of the call, and only what the witness's own answer breaks."""
    kind, criterion = Kind(witness["kind"]), Criterion(witness["criterion"])
    if requirement in RAISING:
        claim = Claim(("print(got)", "raise AssertionError('an error is due')"))
        return claim if kind is Kind.ACCEPTED else None
    exact, upstream = _exact(question, witness)
    shape = exact.value.shape
    if kind is Kind.SHAPE:
        return Claim(("print(got)", f"assert tuple(got.shape) == {shape!r}"), upstream)
    if encode(exact.value, Dtype.FLOAT64) != witness["right"] or len(witness["got"]) != exact.value.size:
        return None  # something else was judged than this one call's answer
    at = tuple(int(index) for index in witness["at"])
    got, right = float(decode(witness["got"])[0].reshape(shape)[at]), float(exact.value[at])
    allowed = float(decode(witness["allowed"])[0].reshape(shape)[at])
    place = f"[{', '.join(map(str, at))}]" if at else ""
    if math.isnan(right) or criterion is Criterion.NOT_FINITE:
        measured = bool(allowed) or criterion is Criterion.TOLERANCE
        if math.isnan(got) or not (measured or math.isfinite(got)):
            return None
        # Of a yes or no with a story of its own, only a number is plainly wrong.
        fine = "got != got" if measured else "not isfinite(got)"
        lines = (f"got = float(got{place})", 'print("got", got)', f"assert {fine}")
        return Claim(lines, upstream)
    dtype = question.problem.model.dtype
    if allowed == 0 and float(dtype.round(np.array(right))) != right:  # a yes or no, not that very number
        allowed = float(tolerance(question.problem, exact, Profile.of(dtype)).total[at])
    if got == right or abs(got - right) <= allowed:
        return None
    lines = (
        f"got, right, allowed = float(got{place}), {right!r}, {allowed!r}",
        'print(f"got {got!r}, right {right!r}, allowed error {allowed!r}")',
        "assert got == right or abs(got - right) <= allowed",
    )
    return Claim(lines, upstream)


def _exact(question: ReproducedCall, witness: Mapping[str, Any]) -> tuple[Enclosure, Operand | None]:
    """Return the reference's answer to a question, and the upstream gradient for which it is the witness's."""
    problem, side, described = question.problem, question.call.side, question.call.upstream
    if side is None or described is None:
        return reference(problem), None
    dtype, above = problem.model.dtype, upstream_of(problem)
    candidates: tuple[NDArray[np.float64] | None, ...] = (described.values(problem),)
    match described.kind:
        case UpstreamKind.PATTERN:
            candidates = (None, above)  # ones make the shorter script, where the answer is the same
        case UpstreamKind.ZERO:
            candidates = (above * 0.0,)
        case UpstreamKind.EXPANDED:
            candidates = ()
        case _:
            pass
    for upstream in candidates:
        rounded = None if upstream is None else Operand(dtype.round(upstream), Space.LOG, dtype)
        exact = reference_gradient(
            problem, side, None if rounded is None else rounded.values.astype(np.float64)
        )
        if encode(exact.value, Dtype.FLOAT64) == witness["right"]:
            return exact, rounded
    raise ValueError("the gradient from above is another")


def _problem(witness: Mapping[str, Any]) -> Problem:
    clip = None if witness["clip"] is None else decode(witness["clip"])[0]
    dtype = Dtype.named(witness["dtype"])
    return Problem(
        _operand(witness["target"], dtype),
        _operand(witness["model"], dtype),
        formula=Formula(witness["formula"]),
        reduction=Reduction(witness["reduction"]),
        axis=int(witness["axis"]),
        clip=None if clip is None else (float(clip[0]), float(clip[1])),
        normalise=bool(witness["normalise"]),
        smoothing=float(decode(witness["smoothing"])[0][0]) if "smoothing" in witness else 0.0,
    )


def _operand(data: Mapping[str, Any], dtype: Dtype) -> Operand:
    if not data["bits"]:
        return Operand(np.zeros(data["shape"], dtype.carrier), Space(data["space"]), dtype)
    values, dtype = decode(data["bits"])
    return Operand(values.reshape(data["shape"]), Space(data["space"]), dtype)


def _lines(
    requirement: str,
    column: Column,
    question: ReproducedCall,
    claim: Claim,
    library: Dialect,
    brought: KernelSource | None,
) -> Iterator[str]:
    """Write the script, line by line."""
    problem, side = question.problem, question.call.side
    yield f"# {requirement}: {column.implementation}, {column.framework} {column.version}, {column.device}"
    yield from library.imports("" if brought else column.implementation)
    if column.mode in SET:
        yield SET[column.mode]
    yield from brought.imports if brought else ()
    for each, name in ((Side.TARGET, "p"), (Side.MODEL, "q")):
        operand, layout = problem.side(each), question.layouts[each]
        yield f"{name} = {library.array(operand.values, operand.dtype, column.device)}"
        # A layout of an axis 1 leaves what has none as it is.
        if layout != "contiguous" and (layout != "permuted-3d" or operand.values.ndim > 1):
            yield f"{name} = {library.laid(name, layout)}  # {layout}"
    operands = {
        each: library.log_softmax(name) if _led(question, each) else name
        for each, name in ((Side.TARGET, "p"), (Side.MODEL, "q"))
    }
    wrapped = COMPILED.get(column.mode, "")
    names = {Side.TARGET: "p", Side.MODEL: "q"}
    call = call_of(column, question.call, names if wrapped else operands, brought)
    if wrapped:  # what is led in is led in before, as it was asked
        call = f"{wrapped.format(call=call)}({operands[Side.TARGET]}, {operands[Side.MODEL]})"
    if side is None:
        yield f"got = {call}"
    else:
        above = claim.upstream
        if above is not None:
            yield f"u = {library.array(above.values, above.dtype, column.device)}"
            lying = "contiguous" if question.call.upstream is None else question.call.upstream.layout
            if lying != "contiguous":
                yield f"u = {library.laid('u', lying)}  # {lying}"
        yield from library.gradient(call, "p" if side is Side.TARGET else "q", "" if above is None else "u")
    yield from library.read
    yield from claim.lines


def _led(question: ReproducedCall, side: Side) -> bool:
    """Whether logits go through log_softmax on their way to the implementation."""
    accepted = question.call.spaces[side]
    return question.problem.side(side).space is Space.LOGITS and accepted is not Space.LOGITS
