"""Converts run-file format 1 to format 2; the only module that parses sentences.

Format 1 has no fields for the kind of a failure, the items of a tolerance, the call of a witness, cut-off files and
the environments of merged runs; it describes them in sentences.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any, cast

from kl_reports.runfile.bits import encode
from kl_reports.runfile.records import FORMAT as NEXT

FORMAT = "kl-conformance-run/1"

_CUT_OFF = re.compile(r"(?s)(.*) was cut off after (\d{1,18}) of (\d{1,18}) cells")
_ITEM = re.compile(r"(?s)([0-9.]+(?:e[+-]?[0-9]+)?) ([^:]{1,40}):\s*(.*)")
_UNIT = "in units of "
_SHAPE = re.compile(r"[Gg]ave shape (\([\d, ]*\)) where (\([\d, ]*\)) is (?:right|due)")
_NO_TENSOR = re.compile(r"Gave (.*) where (an? \S+) is due")
_EXPLAINED = "This is the right answer to another question: "
_NO_DEVICE = re.compile(r"(?:sees|finds) no (?:CUDA device|GPU) on this machine")
_HARNESS = "The harness failed, not the implementation"
_DIFFERENTIATED = re.compile(r"(?:gradients?|tangent|second derivative) (?:by both sides .*)?by the (target|model)\b")
_UPSTREAM = "the upstream gradient "
# Kind of the upstream gradient by the note about it.
_UPSTREAM_KINDS = {"is huge": "huge", "is 0, and its answer is not": "zero", "is one row expanded": "expanded"}


def line(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert a line; fields that have another type than in format 1 stay as they are."""
    match data:
        case {"kind": "header"}:
            entries, faq = environment(data.get("environment")), guide(data.get("guide", {}))
            return {**data, "format": NEXT, "environment": entries, "guide": faq}
        case {"kind": "result"}:
            return {**data, **_result(data)}
        case {"kind": "remark", "sentence": str(sentence)} if cut := cut_off(sentence):
            return {"kind": "cut_off", **cut}
        case _:
            return data


def environment(entries: Any) -> Any:
    """Convert an environment, in which a merged run's label follows the name (``python [jax]``)."""
    if not isinstance(entries, dict):
        return entries
    found: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    for name, value in cast("dict[str, Any]", entries).items():
        key, _, label = name.removesuffix("]").rpartition(" [")
        if key and name.endswith("]"):
            found.setdefault(label, {})[key] = value
        else:
            shared[name] = value
    return {label: differing | shared for label, differing in found.items()} or {"": shared}


def guide(data: Any) -> Any:
    """Convert a guide or one of its FAQ entries, whose key ``question`` is ``asked`` in format 1."""
    match data:
        case {"questions": list(entries)}:
            found: list[Any] = entries
            return {**cast("dict[str, Any]", data), "questions": [guide(entry) for entry in found]}
        case {"asked": question, **others}:
            return {"question": question, **others}
        case _:
            return data


def cut_off(remark: str) -> dict[str, Any] | None:
    """Return the fields of a remark about a cut-off file; None for other remarks."""
    found = _CUT_OFF.fullmatch(remark)
    return None if found is None else {"file": found[1], "judged": int(found[2]), "planned": int(found[3])}


def budget(lines: Any) -> Any:
    """Convert the items of a tolerance, which are sentences; the last one has the unit."""
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
    """Convert a witness: its call, layout and upstream gradient."""
    fields = dict(data)
    if isinstance(call := fields.get("call"), str):
        fields["call"] = _call(call)
    if isinstance(layout := fields.get("layout"), str):
        target, _, model = layout.partition("/")
        fields["layout"] = {"target": target, "model": model or target}
    if isinstance(note := fields.get("note"), str):
        fields.setdefault("upstream", _upstream(note))
    return fields


def failure(verdict: str, detail: str) -> dict[str, str]:
    """Return the fields that format 1 describes in the detail of a result: kind, event, explanation, absence."""
    sentence = detail.rstrip(".")
    if verdict in {"CRASHED", "TIMED_OUT"}:
        event, _, call = detail.partition("; ")
        event = event.rstrip(".").removeprefix("Its process ")
        return {"failure": verdict, "happened": f"its process {event}", "last_call": call}
    if verdict == "MISSING" and _NO_DEVICE.search(detail):
        return {"absence": "NO_DEVICE"}
    if verdict == "UNDECIDED" and detail.startswith(_HARNESS):
        return {"failure": "HARNESS"}
    if verdict != "FAIL":
        return {}
    if sentence.startswith("Raised "):
        return {"failure": "RAISED", "happened": f"it r{sentence[1:]}"}
    if found := _NO_TENSOR.match(sentence):
        return {"failure": "NO_TENSOR", "happened": f"it returned {found[1]}, expected {found[2]}"}
    if found := _SHAPE.search(sentence):
        return {"failure": "SHAPE", "happened": f"it returned shape {found[1]}, expected {found[2]}"}
    if sentence.endswith(("and no error", "was accepted")):
        return {"failure": "ACCEPTED"}
    fields = {"failure": "NUMBER"} if " is right" in sentence else {}
    explanation = detail.partition(_EXPLAINED)[2].partition(". ")[0].rstrip(".")
    return fields | ({"explanation": explanation} if explanation else {})


def _result(data: Mapping[str, Any]) -> dict[str, Any]:
    verdict, detail = data.get("verdict"), data.get("detail", "")
    fields: dict[str, Any] = {}
    if isinstance(verdict, str) and isinstance(detail, str):
        fields |= failure(verdict, detail)
    if "budget" in data:
        fields["budget"] = budget(data["budget"])
    if isinstance(fixed := data.get("fixed"), dict):  # without a headroom if nothing was measured
        fields["fixed"] = {"headroom": None, **cast("dict[str, Any]", fixed)}
    if isinstance(found := data.get("witness"), dict):
        fields["witness"] = witness(cast("dict[str, Any]", found))
    return fields


def _call(text: str) -> dict[str, Any]:
    """Parse the text of a call; the function is empty if the text is not exactly one plain call."""
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
    if not note.startswith(_UPSTREAM):
        return None
    text = note.removeprefix(_UPSTREAM)
    layout = text.removeprefix("lies ") if text.startswith("lies ") else "contiguous"
    return {"kind": _UPSTREAM_KINDS.get(text, "pattern"), "layout": layout}
