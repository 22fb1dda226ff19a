"""A failure as a short script that imports nothing of ours: what somebody pastes into a bug report."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_cases.bits import decode, encode
from kl_conformance.brought import Brought
from kl_conformance.libraries import LIBRARIES
from kl_conformance.remembered import reference, slope
from kl_conformance.requirements.gradients import upstream_of
from kl_conformance.writing import COMPILED, SET, UnwritableError, Writing, call_of
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Enclosure
from kl_reference.problem import Operand, Problem
from kl_reference.tolerance import Profile, tolerance
from kl_reports.result import Column

# What other chapters judge needs more than one call: several of them, threads, compilers, weights, much memory.
ALONE = {"values", "support", "signs", "gradients", "reductions", "layouts", "identities"}
# What must raise, where the operands or the reduction's name alone say why.
RAISING = {"errors/shape-mismatch", "errors/class-mismatch", "errors/unknown-reduction"}
UPSTREAM = "the upstream gradient is "
LYING = "the upstream gradient lies "
NAMES = re.compile(r"\b(?:inf|isfinite|nan)\b")  # what a script takes from `math`
PLAUSIBLE = "gave a plausible number"
LINES = 15
LONGEST = 4000  # characters of a line


@dataclass(frozen=True, slots=True)
class Question:
    """The one call behind a witness.

    ``keywords`` are its arguments as they are written, ``accepted`` the spaces in which the implementation
    received its operands, ``side`` what it was differentiated by.
    """

    problem: Problem
    keywords: Mapping[str, str]
    accepted: Mapping[Side, Space]
    side: Side | None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a script ends with: lines after which it has failed, and the gradient from above, where it takes one."""

    lines: tuple[str, ...]
    upstream: Operand | None = None
    lying: str = "contiguous"


def reproducer(
    requirement: str,
    column: Column,
    own: Mapping[str, str],
    witness: Mapping[str, Any],
    brought: Brought | None = None,
) -> str:
    """Return a script that shows a failure, or an empty string where no short honest one is known.

    Parameters
    ----------
    requirement, column
        Which cell is broken.
    own
        The implementation's Convention as a run file's header has it.
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
    library = LIBRARIES.get(own.get("framework", ""))
    if library is None or not (requirement in RAISING or requirement.partition("/")[0] in ALONE):
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
        title, *rest = _lines(requirement, column, own, question, claim, library, brought)
    except UnwritableError:
        return ""
    words = sorted({word for line in rest for word in NAMES.findall(line)})
    lines = [title, *([f"from math import {', '.join(words)}"] if words else []), *rest]
    fit = len(lines) <= LINES and max(map(len, lines)) <= LONGEST
    return "\n".join(lines) + "\n" if fit else ""


def _understood(witness: Mapping[str, Any]) -> Question | None:
    """Return the one call behind a witness; None where its text says more than one plain call."""
    text = str(witness["call"])
    side = next((each for each in Side if text.startswith(f"gradient by the {each.value} of ")), None)
    call = _parsed(text if side is None else text.partition(" of ")[2])
    if call is None:
        return None
    words = {str(each.arg): ast.unparse(each.value) for each in call.keywords}
    accepted = {each: _space(words.pop(each.value)) for each in Side}
    return Question(_problem(witness), words, accepted, side)


def _claim(requirement: str, question: Question, witness: Mapping[str, Any]) -> Claim | None:
    """Return what can be claimed of the call, and only what the witness's own answer breaks."""
    if requirement in RAISING:
        return (
            Claim(("print(got)", "raise AssertionError('an error is due')")) if _accepted(witness) else None
        )
    exact, upstream = _exact(question, witness)
    shape = exact.value.shape
    if str(witness["note"]).startswith("gave shape"):
        return Claim(("print(got)", f"assert tuple(got.shape) == {shape!r}"), upstream)
    if encode(exact.value, Dtype.FLOAT64) != witness["right"] or len(witness["got"]) != exact.value.size:
        return None  # something else was judged than this one call's answer
    at = tuple(int(index) for index in witness["at"])
    got, right = float(decode(witness["got"])[0].reshape(shape)[at]), float(exact.value[at])
    allowed = float(decode(witness["allowed"])[0].reshape(shape)[at])
    place = f"[{', '.join(map(str, at))}]" if at else ""
    lying = str(witness["note"]).partition(LYING)[2] or "contiguous"
    if math.isnan(right) or str(witness["note"]).endswith(PLAUSIBLE):
        measured = bool(allowed) or not witness["note"]
        if math.isnan(got) or not (measured or math.isfinite(got)):
            return None
        # Of a yes or no with a story of its own, only a number is plainly wrong.
        fine = "got != got" if measured else "not isfinite(got)"
        lines = (f"got = float(got{place})", 'print("got", got)', f"assert {fine}")
        return Claim(lines, upstream, lying)
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
    return Claim(lines, upstream, lying)


def _accepted(witness: Mapping[str, Any]) -> bool:
    return str(witness["note"]).endswith("and no error")


def _exact(question: Question, witness: Mapping[str, Any]) -> tuple[Enclosure, Operand | None]:
    """Return the reference's answer to a question, and the gradient from above that makes it the witness's."""
    problem, side = question.problem, question.side
    if side is None:
        return reference(problem), None
    dtype, above = problem.model.dtype, upstream_of(problem)
    huge, note = 2.0 ** np.floor(np.log2(dtype.largest) / 2), str(witness["note"])
    asked: tuple[NDArray[np.float64] | None, ...] = (None, above)
    if note.startswith(UPSTREAM):  # where every gradient is 0, what is right does not tell them apart
        said = note.removeprefix(UPSTREAM)
        asked = (above * huge,) if said == "huge" else (above * 0.0,) if said.startswith("0,") else ()
    for upstream in asked:
        rounded = None if upstream is None else Operand(dtype.round(upstream), Space.LOG, dtype)
        exact = slope(problem, side, None if rounded is None else rounded.values.astype(np.float64))
        if encode(exact.value, Dtype.FLOAT64) == witness["right"]:
            return exact, rounded
    raise ValueError("the gradient from above is another")


def _parsed(text: str) -> ast.Call | None:
    """Return a call's text as Python reads it; None where it says more than one call."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
    return tree if isinstance(tree, ast.Call) and not tree.args else None


def _space(word: str) -> Space:
    return Space(word.replace(" ", ""))  # `log-probability` comes back as a difference


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
        layout=str(witness["layout"]),
    )


def _operand(data: Mapping[str, Any], dtype: Dtype) -> Operand:
    if not data["bits"]:
        return Operand(np.zeros(data["shape"], dtype.carrier), Space(data["space"]), dtype)
    values, dtype = decode(data["bits"])
    return Operand(values.reshape(data["shape"]), Space(data["space"]), dtype)


def _lines(
    requirement: str,
    column: Column,
    own: Mapping[str, str],
    question: Question,
    claim: Claim,
    library: Writing,
    brought: Brought | None,
) -> Iterator[str]:
    """Write the script, line by line."""
    problem, side = question.problem, question.side
    yield f"# {requirement}: {column.implementation}, {column.framework} {column.version}, {column.device}"
    yield from library.imports("" if brought else column.implementation)
    if column.mode in SET:
        yield SET[column.mode]
    yield from brought.imports if brought else ()
    own_layout, _, other = problem.layout.partition("/")
    for each, name in ((Side.TARGET, "p"), (Side.MODEL, "q")):
        operand = problem.side(each)
        layout = other or own_layout if each is Side.MODEL else own_layout
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
    call = call_of(column, own, names if wrapped else operands, question.keywords, question.accepted, brought)
    if wrapped:  # what is led in is led in before, as it was asked
        call = f"{wrapped.format(call=call)}({operands[Side.TARGET]}, {operands[Side.MODEL]})"
    if side is None:
        yield f"got = {call}"
    else:
        above = claim.upstream
        if above is not None:
            yield f"u = {library.array(above.values, above.dtype, column.device)}"
            if claim.lying != "contiguous":
                yield f"u = {library.laid('u', claim.lying)}  # {claim.lying}"
        yield from library.gradient(call, "p" if side is Side.TARGET else "q", "" if above is None else "u")
    yield from library.read
    yield from claim.lines


def _led(question: Question, side: Side) -> bool:
    """Whether logits go through log_softmax on their way to the implementation."""
    return question.problem.side(side).space is Space.LOGITS and question.accepted[side] is not Space.LOGITS
