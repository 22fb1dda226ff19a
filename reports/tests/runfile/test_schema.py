"""The published JSON Schema describes the files that are written."""

import json
from importlib import resources
from typing import Any

import pytest

from kl_reports.runfile.lines import encode_run, json_schema
from kl_reports.runfile.records import FORMAT, Run, Verdict

jsonschema: Any = pytest.importorskip("jsonschema")

SCHEMA: dict[str, Any] = json.loads(
    resources.files("kl_reports.runfile").joinpath("run-file.schema.json").read_text(encoding="utf-8")
)


def valid(line: Any) -> bool:
    """Whether the schema accepts a line."""
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(line))


def test_the_schema_is_valid() -> None:
    """It is a valid schema of the current format and has every verdict."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    definitions = SCHEMA["$defs"]
    assert definitions["header"]["properties"]["format"]["const"] == FORMAT
    assert definitions["result"]["properties"]["verdict"]["enum"] == [each.name for each in Verdict]


def test_the_schema_is_derived_from_the_records() -> None:
    """The file is up to date; docs/reference/run-file.md has the command that writes it."""
    assert resources.files("kl_reports.runfile").joinpath("run-file.schema.json").read_text("utf-8") == json_schema()


def test_every_line_that_is_written_is_valid(run: Run, hostile_run: Run) -> None:
    """Every line of a run with every verdict and of one with hostile text is valid."""
    for each in (run, hostile_run):
        lines = list(encode_run(each))
        assert [line for line in lines[:300] if not valid(json.loads(json.dumps(line)))] == []
    assert valid({"kind": "started", "cell": "values/sum@x"})
    assert valid({"kind": "cut_off", "file": "torch.jsonl.gz", "judged": 3, "planned": 9})
    assert valid({"kind": "footer", "finished": None})


@pytest.mark.parametrize(
    "damage",
    [
        {"verdict": "SPLENDID"},
        {"headroom": 0.5},
        {"seconds": "f64:xyz"},
        {"requirement": None},
        {"spread": {"signed": {"a": 1}, "classes": {}, "condition": {}}},
        {"kind": "verdict"},
        {"budget": "much"},
        {"budget": [{"amount": 1.5, "name": "output", "reason": "rounded once"}]},
        {"failure": "BAD_LUCK"},
    ],
)
def test_a_line_that_no_reader_accepts_is_invalid(run: Run, damage: dict[str, Any]) -> None:
    """A printed float, an unknown verdict and a missing field are rejected."""
    line = next(line for line in encode_run(run) if line["kind"] == "result" and "spread" in line)
    assert valid(line)
    assert not valid({**line, **damage})
