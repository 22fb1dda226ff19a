"""Writes a self-contained script of at most 15 lines that reproduces a failure."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_cases.bits import decode, encode
from kl_conformance.diagnosis.dialect import COMPILED, SETTINGS, Dialect, NotExpressibleError, call_of
from kl_conformance.diagnosis.libraries import LIBRARIES
from kl_conformance.implementations.registry import is_builtin
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
from kl_reports.runfile.cell_id import chapter_of
from kl_reports.runfile.records import Column, Kind

# The requirements of other chapters need more than one plain call: threads, compilers, weights, much memory.
CHAPTERS = {"values", "support", "signs", "gradients", "reductions", "layouts", "identities"}
# Calls that must raise, for a reason that is visible in the operands or the name of the reduction.
MUST_RAISE = {"errors/shape-mismatch", "errors/class-mismatch", "errors/unknown-reduction"}
NAMES = re.compile(r"\b(?:inf|isfinite|nan)\b")  # names that a script imports from `math`
LINES = 15
LONGEST = 4000  # characters of a line


@dataclass(frozen=True, slots=True)
class ReproducedCall:
    """The single call of a witness, and the layout of either operand."""

    problem: Problem
    call: CallDescription
    layouts: Mapping[Side, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """The last lines of a script, which raise AssertionError, and the upstream gradient it passes, if any."""

    lines: tuple[str, ...]
    upstream: Operand | None = None


def reproducer(requirement: str, column: Column, witness: Mapping[str, Any], source: KernelSource | None = None) -> str:
    """Return a script that shows a failure, or an empty string if no short script is known to show it.

    Parameters
    ----------
    requirement, column
        The cell that failed.
    witness
        The failure, as run files store it.
    source
        Location of a user kernel; None for a built-in implementation.

    Returns
    -------
    str
        At most 15 lines: exact inputs, the call in the library's idiom, the expected value, and an assertion that
        fails as long as the failure is there.
    """
    library = LIBRARIES.get(column.framework)
    if library is None or (source is None and not is_builtin(column.implementation)):
        return ""
    if not (requirement in MUST_RAISE or chapter_of(requirement) in CHAPTERS):
        return ""
    try:
        if max(len(witness[side]["bits"]) for side in ("target", "model")) > LONGEST:
            return ""  # too many numbers for a line; their exact values are expensive
        call = _single_call(witness)
        claim = None if call is None else _claim(requirement, call, witness)
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return ""  # the witness of another suite, or a problem for which the reference has no answer
    if call is None or claim is None:
        return ""
    try:
        title, *rest = _lines(requirement, column, call, claim, library, source)
    except NotExpressibleError:
        return ""
    names = sorted({name for line in rest for name in NAMES.findall(line)})
    lines = [title, *([f"from math import {', '.join(names)}"] if names else []), *rest]
    fit = len(lines) <= LINES and max(map(len, lines)) <= LONGEST
    return "\n".join(lines) + "\n" if fit else ""


def _single_call(witness: Mapping[str, Any]) -> ReproducedCall | None:
    """Return the single plain call of a witness; None if its answer took several calls."""
    call = decode_call(witness)
    if not call.function:
        return None
    return ReproducedCall(_problem(witness), call, {one: str(witness["layout"][one.value]) for one in Side})


def _claim(requirement: str, reproduced: ReproducedCall, witness: Mapping[str, Any]) -> Claim | None:
    """Return an assertion that the recorded answer fails; None if the witness shows none."""
    kind, criterion = Kind(witness["kind"]), Criterion(witness["criterion"])
    if requirement in MUST_RAISE:
        claim = Claim(("print(got)", "raise AssertionError('expected an error')"))
        return claim if kind is Kind.ACCEPTED else None
    exact, upstream = _exact(reproduced, witness)
    shape = exact.value.shape
    if kind is Kind.SHAPE:
        return Claim(("print(got)", f"assert tuple(got.shape) == {shape!r}"), upstream)
    if encode(exact.value, Dtype.FLOAT64) != witness["right"] or len(witness["got"]) != exact.value.size:
        return None  # the judgement compares something other than the answer to this call
    at = tuple(int(index) for index in witness["at"])
    got, expected = float(decode(witness["got"])[0].reshape(shape)[at]), float(exact.value[at])
    allowed = float(decode(witness["allowed"])[0].reshape(shape)[at])
    index = f"[{', '.join(map(str, at))}]" if at else ""
    if math.isnan(expected) or criterion is Criterion.NOT_FINITE:
        measured = bool(allowed) or criterion is Criterion.TOLERANCE
        if math.isnan(got) or not (measured or math.isfinite(got)):
            return None
        # Without a tolerance, only a finite number is certainly wrong.
        expectation = "got != got" if measured else "not isfinite(got)"
        lines = (f"got = float(got{index})", 'print("got", got)', f"assert {expectation}")
        return Claim(lines, upstream)
    dtype = reproduced.problem.model.dtype
    if allowed == 0 and float(dtype.round(np.array(expected))) != expected:  # not judged by this very number
        allowed = float(tolerance(reproduced.problem, exact, Profile.of(dtype)).total[at])
    if got == expected or abs(got - expected) <= allowed:
        return None
    lines = (
        f"got, expected, allowed = float(got{index}), {expected!r}, {allowed!r}",
        'print(f"got {got!r}, expected {expected!r}, allowed error {allowed!r}")',
        "assert got == expected or abs(got - expected) <= allowed",
    )
    return Claim(lines, upstream)


def _exact(reproduced: ReproducedCall, witness: Mapping[str, Any]) -> tuple[Enclosure, Operand | None]:
    """Return the reference's answer, and the upstream gradient with which it is the expected value of the witness."""
    problem, call = reproduced.problem, reproduced.call
    side, described = call.side, call.upstream
    if side is None or described is None:
        return reference(problem), None
    dtype, plain = problem.model.dtype, upstream_of(problem)
    candidates: tuple[NDArray[np.float64] | None, ...] = (described.values(problem),)
    match described.kind:
        case UpstreamKind.PATTERN:
            candidates = (None, plain)  # ones make the shorter script, if the answer is the same
        case UpstreamKind.ZERO:
            candidates = (plain * 0.0,)
        case UpstreamKind.EXPANDED:
            candidates = ()
        case _:
            pass
    for upstream in candidates:
        rounded = None if upstream is None else Operand(dtype.round(upstream), Space.LOG, dtype)
        exact = reference_gradient(problem, side, None if rounded is None else rounded.values.astype(np.float64))
        if encode(exact.value, Dtype.FLOAT64) == witness["right"]:
            return exact, rounded
    raise ValueError("the witness has another upstream gradient")


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
    reproduced: ReproducedCall,
    claim: Claim,
    library: Dialect,
    source: KernelSource | None,
) -> Iterator[str]:
    problem, side = reproduced.problem, reproduced.call.side
    yield f"# {requirement}: {column.implementation}, {column.framework} {column.version}, {column.device}"
    yield from library.imports("" if source else column.implementation, column.framework)
    if column.mode in SETTINGS:
        yield SETTINGS[column.mode]
    yield from source.imports if source else ()
    names = {Side.TARGET: "p", Side.MODEL: "q"}
    for each, name in names.items():
        operand, layout = problem.side(each), reproduced.layouts[each]
        yield f"{name} = {library.array(operand.values, operand.dtype, column.device)}"
        # A vector has no other axis to permute.
        if layout != "contiguous" and (layout != "permuted-3d" or operand.values.ndim > 1):
            yield f"{name} = {library.with_layout(name, layout)}  # {layout}"
    operands = {
        each: library.log_softmax(name) if _normalised_first(reproduced, each) else name for each, name in names.items()
    }
    compiled = COMPILED.get(column.mode, "")
    call = call_of(column, reproduced.call, names if compiled else operands, source)
    if compiled:  # log_softmax is outside the compiled function, as it was in the run
        call = f"{compiled.format(call=call)}({operands[Side.TARGET]}, {operands[Side.MODEL]})"
    if side is None:
        yield f"got = {call}"
    else:
        upstream = claim.upstream
        if upstream is not None:
            yield f"u = {library.array(upstream.values, upstream.dtype, column.device)}"
            described = reproduced.call.upstream
            layout = "contiguous" if described is None else described.layout
            if layout != "contiguous":
                yield f"u = {library.with_layout('u', layout)}  # {layout}"
        yield from library.gradient(call, names[side], "" if upstream is None else "u")
    yield from library.conversion
    yield from claim.lines


def _normalised_first(reproduced: ReproducedCall, side: Side) -> bool:
    """Whether log_softmax is applied to logits before the call."""
    accepted = reproduced.call.spaces[side]
    return reproduced.problem.side(side).space is Space.LOGITS and accepted is not Space.LOGITS
