"""Run files of format 1, read as format 2: the one place where sentences are taken apart.

Format 1 had no fields for what a failure consists of, for the items of a tolerance, for the call of a witness, for
files that were cut off, and for the runs whose environments differ; it said all of that in sentences.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from kl_reports.runfile.bits import encode
from kl_reports.runfile.records import FORMAT as NEXT

FORMAT = "kl-conformance-run/1"

_CUT = re.compile(r"(?s)(.*) was cut off after (\d{1,18}) of (\d{1,18}) cells")
_ITEM = re.compile(r"(?s)([0-9.]+(?:e[+-]?[0-9]+)?) ([^:]{1,40}):\s*(.*)")
_UNIT = "in units of "
_SHAPE = re.compile(r"[Gg]ave shape (\([\d, ]*\)) where (\([\d, ]*\)) is (?:right|due)")
_NO_TENSOR = re.compile(r"Gave (.* where an? \S+ is due)")
_EXPLAINED = "This is the right answer to another question: "
_NO_DEVICE = re.compile(r"(?:sees|finds) no (?:CUDA device|GPU) on this machine")
_HARNESS = "The harness failed, not the implementation"
_DIFFERENTIATED = re.compile(
    r"(?:gradients?|tangent|second derivative) (?:by both sides .*)?by the (target|model)\b"
)
_ABOVE = "the upstream gradient "
# What a note said of the upstream gradient, and what kind of gradient that was.
_UPSTREAM = {"is huge": "huge", "is 0, and its answer is not": "zero", "is one row expanded": "expanded"}


def line(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a line of format 1 as one of format 2; what is not as format 1 has it is left as it is."""
    match data:
        case {"kind": "header"}:
            own = {"environment": environment(data.get("environment")), "guide": guide(data.get("guide", {}))}
            return {**data, "format": NEXT, **own}
        case {"kind": "result"}:
            return {**data, **_result(data)}
        case {"kind": "remark", "sentence": str(sentence)} if cut := cut_off(sentence):
            return {"kind": "cut_off", **cut}
        case _:
            return data


def environment(entries: Any) -> Any:
    """Return the environment by the labels of merged runs, which were written after the names: ``python [jax]``."""
    if not isinstance(entries, dict):
        return entries
    found: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    for name, value in cast("dict[str, Any]", entries).items():
        own, _, label = name.removesuffix("]").rpartition(" [")
        if own and name.endswith("]"):
            found.setdefault(label, {})[own] = value
        else:
            shared[name] = value
    return {label: own | shared for label, own in found.items()} or {"": shared}


def guide(data: Any) -> Any:
    """Return the guide with the names of format 2: the question of an FAQ entry was called ``asked``."""
    match data:
        case {"questions": list(entries)}:
            found: list[Any] = entries
            return {**cast("dict[str, Any]", data), "questions": [_faq_entry(entry) for entry in found]}
        case _:
            return data


def _faq_entry(data: Any) -> Any:
    match data:
        case {"asked": question, **others}:
            return {"question": question, **others}
        case _:
            return data


def cut_off(remark: str) -> dict[str, Any] | None:
    """Return which file was cut off, and where, if that is what a remark says."""
    found = _CUT.fullmatch(remark)
    return None if found is None else {"file": found[1], "judged": int(found[2]), "planned": int(found[3])}


def budget(lines: Any) -> Any:
    """Return the items of a tolerance that was kept as sentences, the last of which says what they count."""
    if not isinstance(lines, list):
        return lines
    texts: list[Any] = lines
    if not all(isinstance(each, str) for each in texts):
        return texts
    unit = next((each.removeprefix(_UNIT) for each in texts if each.startswith(_UNIT)), "")
    return [
        {"amount": encode(float(found[1])), "name": found[2], "reason": found[3], "unit": unit}
        for found in map(_ITEM.fullmatch, texts)
        if found
    ]


def witness(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a witness whose call, layout and upstream gradient are fields instead of sentences."""
    own = dict(data)
    if isinstance(call := own.get("call"), str):
        own["call"] = _call(call)
    if isinstance(layout := own.get("layout"), str):
        target, _, model = layout.partition("/")
        own["layout"] = {"target": target, "model": model or target}
    if isinstance(note := own.get("note"), str):
        own.setdefault("upstream", _upstream(note))
    return own


def failure(verdict: str, detail: str) -> dict[str, str]:
    """Return the fields that format 1 had in the detail of a result: kind, event, explanation, absence."""
    said = detail.rstrip(".")
    if verdict in {"CRASHED", "TIMED_OUT"}:
        how, _, call = detail.partition("; ")
        how = how.rstrip(".").removeprefix("Its process ")
        return {"failure": verdict, "happened": f"its process {how}", "last_call": call}
    if verdict == "MISSING" and _NO_DEVICE.search(detail):
        return {"absence": "NO_DEVICE"}
    if verdict == "UNDECIDED" and detail.startswith(_HARNESS):
        return {"failure": "HARNESS"}
    if verdict != "FAIL":
        return {}
    if said.startswith("Raised "):
        return {"failure": "RAISED", "happened": f"it r{said[1:]}"}
    if foreign := _NO_TENSOR.match(said):
        return {"failure": "NO_TENSOR", "happened": f"it gave {foreign[1]}"}
    if shape := _SHAPE.search(said):
        return {"failure": "SHAPE", "happened": f"it gave shape {shape[1]} where {shape[2]} is due"}
    if said.endswith(("and no error", "was accepted")):
        return {"failure": "ACCEPTED"}
    explanation = detail.partition(_EXPLAINED)[2].partition(". ")[0].rstrip(".")
    # Where nothing says so, no number is known to have been given.
    return ({"failure": "NUMBER"} if " is right" in said else {}) | (
        {"explanation": explanation} if explanation else {}
    )


def _result(data: Mapping[str, Any]) -> dict[str, Any]:
    verdict, detail = data.get("verdict"), data.get("detail", "")
    own: dict[str, Any] = {}
    if isinstance(verdict, str) and isinstance(detail, str):
        own |= failure(verdict, detail)
    if "budget" in data:
        own["budget"] = budget(data["budget"])
    if isinstance(fixed := data.get("fixed"), dict):
        own["fixed"] = {
            "headroom": None,
            **cast("dict[str, Any]", fixed),
        }  # left out where nothing was measured
    if isinstance(seen := data.get("witness"), dict):
        own["witness"] = witness(cast("dict[str, Any]", seen))
    return own


def _call(text: str) -> dict[str, Any]:
    """Return a call that was kept as text; without a function where the text has more than one plain call."""
    found = _DIFFERENTIATED.match(text)
    side = found[1] if found else None
    plain = text.partition(" of ")[2] if found else text
    try:
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if not isinstance(tree, ast.Call) or tree.args:
        return {"function": "", "keywords": {}, "side": side, "text": text}
    keywords = {str(each.arg): ast.get_source_segment(plain, each.value) or "" for each in tree.keywords}
    spaces = {name: keywords.pop(name) for name in ("target", "model") if name in keywords}
    function = ast.unparse(tree.func)
    return {"function": function, "keywords": keywords, "spaces": spaces, "side": side, "text": text}


def _upstream(note: str) -> dict[str, str] | None:
    if not note.startswith(_ABOVE):
        return None
    said = note.removeprefix(_ABOVE)
    kind = _UPSTREAM.get(said, "pattern")
    return {"kind": kind, "layout": said.removeprefix("lies ") if said.startswith("lies ") else "contiguous"}


def remarks(sentences: Sequence[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the remarks that say something else, and which files were cut off."""
    cut = [found for found in map(cut_off, sentences) if found]
    return [each for each in sentences if not cut_off(each)], cut
