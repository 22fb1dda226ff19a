"""Every chapter of the corpus follows its schema."""

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from kl_cases.corpus import CHAPTERS, EXPECTATIONS

CORPORA = resources.files("kl_cases").joinpath("corpora")
SCHEMA: dict[str, Any] = json.loads(CORPORA.joinpath("case.schema.json").read_text(encoding="utf-8"))
TYPES = {"object": dict, "array": list, "string": str, "integer": int}
KEYWORDS = {
    *("$schema", "title", "description", "$defs", "$ref", "type", "required", "properties", "items"),
    *("additionalProperties", "pattern", "enum", "const", "anyOf"),
}


def _problems(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    """Yield the violations of a schema, for the part of JSON Schema that our schema uses."""
    assert schema.keys() <= KEYWORDS, f"the schema uses keywords that this test does not support: {schema.keys()}"
    if "$ref" in schema:
        yield from _problems(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], place)
    if "anyOf" in schema and all(any(_problems(value, choice, place)) for choice in schema["anyOf"]):
        yield f"{place}: none of the choices"
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        yield f"{place}: not of type {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is not among {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{place}: not {schema['const']!r}"
    if "pattern" in schema and not re.search(schema["pattern"], str(value)):
        yield f"{place}: {value!r} does not match {schema['pattern']}"
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, schema.get("items", {}), f"{place}[{index}]")
    if isinstance(value, dict):
        yield from (f"{place}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            rule = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            if rule is False:
                yield f"{place}: {name} is unknown"
            else:
                yield from _problems(item, rule, f"{place}.{name}")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_follows_the_schema(chapter: str) -> None:
    """No field is missing, unknown or of another type."""
    content = json.loads(CORPORA.joinpath(f"{chapter}.json").read_text(encoding="utf-8"))
    assert list(_problems(content, SCHEMA, chapter)) == []
    assert content["chapter"] == chapter


def test_schema_and_parser_agree() -> None:
    """Chapters and expectations are the same in both."""
    assert tuple(SCHEMA["properties"]["chapter"]["enum"]) == CHAPTERS
    assert tuple(SCHEMA["$defs"]["case"]["properties"]["expectation"]["enum"]) == EXPECTATIONS


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "Not An Id"}, "does not match"),
        ({"expectation": "perhaps"}, "is not among"),
        ({"axis": "last"}, "not of type integer"),
        ({"colour": "red"}, "colour is unknown"),
        ({"target": {"space": "log", "bits": ["0.5"]}}, "none of the choices"),
        ({"model": "other"}, "none of the choices"),
        ({"printed": {"sum": [0.5]}}, "not of type string"),
    ],
)
def test_the_schema_rejects(change: dict[str, Any], problem: str) -> None:
    """A case with one invalid field is rejected."""
    content = json.loads(CORPORA.joinpath("values.json").read_text(encoding="utf-8"))
    case = {**content["cases"][0], **change}
    found = list(_problems({"chapter": "values", "cases": [case]}, SCHEMA, "values"))
    assert any(problem in line for line in found), found
