"""The corpus: loads and validates its cases, which every run evaluates, and returns a case as a pair."""

import argparse
import functools
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np

from kl_cases.bits import decode, encode
from kl_cases.case import Case, PublishedValue
from kl_cases.flags import FLAGS
from kl_cases.pair import Measure, Pair
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

CHAPTERS = (
    "values",
    "support",
    "signs",
    "reductions",
    "identities",
    "gradients",
    "layouts",
    "state",
    "modes",
    "errors",
)
EXPECTATIONS = ("exact", "one-of", "unspecified", "error")
_NEEDED = {"id", "sentence", "flags", "link", "requirements", "expectation"}
_KNOWN = _NEEDED | {"target", "model", "axis", "tiled", "shapes", "arguments", "printed", "accept"}
_SPACES = {"probability": Space.PROBABILITY, "log": Space.LOG, "logits": Space.LOGITS}


def load(chapter: str) -> tuple[Case, ...]:
    """Return the cases of a chapter, in the order of its file.

    Raises
    ------
    ValueError
        The chapter is unknown, or its file is malformed; the message names file, case and field.
    """
    if chapter not in CHAPTERS:
        raise ValueError(f"unknown chapter {chapter!r}; known: {', '.join(CHAPTERS)}")
    return _load(chapter)


@functools.cache
def _load(chapter: str) -> tuple[Case, ...]:
    name = f"{chapter}.json"
    text = resources.files("kl_cases").joinpath("corpora", name).read_text(encoding="utf-8")
    return parse(text, chapter, name)


def cases() -> Iterator[Case]:
    """Yield every case of every chapter."""
    for chapter in CHAPTERS:
        yield from load(chapter)


def cases_for(requirement: str) -> tuple[Case, ...]:
    """Return the cases that test a requirement, from all chapters."""
    return tuple(case for case in cases() if requirement in case.requirements)


def find_case(name: str) -> Case:
    """Return the case with the name ``chapter/id``.

    Raises
    ------
    ValueError
        The chapter or the case is unknown; the message lists the known ones.
    """
    chapter, _, own = name.partition("/")
    found = next((case for case in load(chapter) if case.id == own), None)
    if found is None:
        known = ", ".join(f"{chapter}/{case.id}" for case in load(chapter))
        raise ValueError(f"unknown case {name!r}; known: {known}")
    return found


def case_pair(case: Case) -> Pair:
    """Return a case as a pair; a case without numbers becomes uniform distributions of its first shape."""
    if case.pair is not None:
        return case.pair
    shape = case.shapes[0] if case.shapes else (3, 5)
    uniform = Measure(np.full(shape, 1.0 / max(shape[-1], 1) if shape else 1.0), Space.PROBABILITY)
    return Pair(uniform, uniform, origin=f"case {case.id}")


def parse(text: str, chapter: str, name: str) -> tuple[Case, ...]:
    """Parse the text of a corpus file.

    Parameters
    ----------
    text
        JSON as described by ``corpora/case.schema.json``.
    chapter
        The chapter of all its cases.
    name
        The file's name, for messages.

    Raises
    ------
    ValueError
        The text does not follow the schema; the message names file, case and field.
    """
    try:
        content = json.loads(text)
        rows, own_chapter = content["cases"], content["chapter"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{name}: not a JSON object with 'chapter' and 'cases' ({error})") from error
    if own_chapter != chapter:
        raise ValueError(f"{name}: belongs to chapter {own_chapter!r}, not {chapter!r}")
    found: list[Case] = []
    for place, row in enumerate(rows):
        case_id = row.get("id", f"number {place}") if isinstance(row, dict) else f"number {place}"
        try:
            found.append(_case(row, chapter))
        except _FieldError as error:
            raise ValueError(f"{name}: case {case_id!r}: {error}") from error
    ids = [case.id for case in found]
    twice = sorted({case_id for case_id in ids if ids.count(case_id) > 1})
    if twice:
        raise ValueError(f"{name}: case {twice[0]!r}: field 'id': used twice")
    return tuple(found)


class _FieldError(ValueError):
    """A field does not follow the schema."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"field {name!r}: {problem}")


def _case(row: Any, chapter: str) -> Case:
    if not isinstance(row, dict):
        raise _FieldError("(whole case)", "not an object")
    fields: dict[str, Any] = dict(row)
    for missing in sorted(_NEEDED - fields.keys()):
        raise _FieldError(missing, "missing")
    for unknown in sorted(fields.keys() - _KNOWN):
        raise _FieldError(unknown, f"unknown; known: {', '.join(sorted(_KNOWN))}")
    _check_names(fields)
    pair, dtype = _pair(fields)
    printed = {
        quantity: tuple(_printed(number) for number in numbers)
        for quantity, numbers in fields.get("printed", {}).items()
    }
    return Case(
        id=fields["id"],
        chapter=chapter,
        sentence=fields["sentence"],
        flags=tuple(fields["flags"]),
        link=fields["link"],
        requirements=tuple(fields["requirements"]),
        expectation=fields["expectation"],
        pair=pair,
        dtype=dtype,
        shapes=_shapes(fields.get("shapes", ())),
        arguments=dict(fields.get("arguments", {})),
        printed=printed,
        accept=tuple(fields.get("accept", ())),
    )


def _check_names(fields: Mapping[str, Any]) -> None:
    for name in ("flags", "requirements"):
        if not isinstance(fields[name], list):
            raise _FieldError(name, "not a list")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", str(fields["id"])):
        raise _FieldError("id", f"{fields['id']!r} does not consist of lower-case words joined by hyphens")
    for flag in fields["flags"]:
        if flag not in FLAGS:
            raise _FieldError("flags", f"unknown flag {flag!r}; known: {', '.join(FLAGS)}")
    for requirement in fields["requirements"]:
        if not re.fullmatch(r"[a-z]+/[a-z0-9-]+", str(requirement)):
            raise _FieldError("requirements", f"{requirement!r} is not an id such as 'values/sum'")
    if fields["expectation"] not in EXPECTATIONS:
        known = ", ".join(EXPECTATIONS)
        raise _FieldError("expectation", f"unknown {fields['expectation']!r}; known: {known}")
    if (fields["expectation"] == "one-of") != bool(fields.get("accept")):
        raise _FieldError("accept", "required with the expectation 'one-of', and allowed only with it")


def _pair(fields: Mapping[str, Any]) -> tuple[Pair | None, Dtype | None]:
    if "target" not in fields and "model" not in fields:
        return None, None
    for side in ("target", "model"):
        if side not in fields:
            raise _FieldError(side, "missing, but the other side is given")
    p, dtype = _measure(fields["target"], "target")
    same = fields["model"] == "target"
    q, other = (p, dtype) if same else _measure(fields["model"], "model")
    if dtype is not other:
        raise _FieldError("model", f"{other.label}, but the target is {dtype.label}")
    try:
        pair = Pair(p, q, origin=f"case {fields['id']}")
    except ValueError as error:
        raise _FieldError("model", str(error)) from error
    (times,) = _shapes([fields.get("tiled", ())], "tiled")
    if times:
        pair = pair.with_values(np.tile(p.values, times), np.tile(q.values, times))
    try:
        return replace(pair, axis=fields.get("axis", -1)), dtype
    except (ValueError, TypeError) as error:
        raise _FieldError("axis", str(error)) from error


def _measure(row: Any, side: str) -> tuple[Measure, Dtype]:
    if not isinstance(row, dict) or row.get("space") not in _SPACES or "bits" not in row:
        raise _FieldError(side, f"not an object with 'bits' and a 'space' among {', '.join(_SPACES)}")
    try:
        nested = np.array(row["bits"], dtype=np.str_)
        values, dtype = decode([str(pattern) for pattern in nested.ravel()])
        return Measure(values.astype(np.float64).reshape(nested.shape), _SPACES[row["space"]]), dtype
    except ValueError as error:
        raise _FieldError(side, str(error)) from error


def _shapes(rows: Any, name: str = "shapes") -> tuple[tuple[int, ...], ...]:
    try:
        return tuple(tuple(int(size) for size in shape) for shape in rows)
    except (TypeError, ValueError) as error:
        raise _FieldError(name, f"{rows!r} are not lists of whole numbers") from error


def _printed(number: Any) -> PublishedValue:
    try:
        float(number)
        return PublishedValue(str(number))
    except (TypeError, ValueError) as error:
        raise _FieldError("printed", f"{number!r} is not a number as text, such as '0.0716'") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert numbers to bit patterns, or back: ``python -m kl_cases.corpus encode float32 0.1 0.2``."""
    parser = argparse.ArgumentParser(prog="python -m kl_cases.corpus", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    write = verbs.add_parser("encode", help="numbers to bit patterns")
    write.add_argument("dtype", choices=[dtype.label for dtype in Dtype])
    write.add_argument("numbers", nargs="+", type=float, help="also inf, -inf and nan")
    read = verbs.add_parser("decode", help="bit patterns to numbers")
    read.add_argument("patterns", nargs="+")
    # A number such as -inf looks like an option, unless "--" ends the options.
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args([*given[:2], "--", *given[2:]] if given[:1] == ["encode"] else given)
    if chosen.verb == "encode":
        print(json.dumps(encode(np.array(chosen.numbers), Dtype.named(chosen.dtype))))
    else:
        values, dtype = decode(chosen.patterns)
        print(dtype.label, *(repr(float(value)) for value in values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
