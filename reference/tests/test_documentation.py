"""What is written about the reference is true."""

from __future__ import annotations

import doctest
from pathlib import Path

import kl_reference

README = Path(__file__).resolve().parents[1] / "README.md"


def test_readme_runs() -> None:
    """Every example in the README gives what is printed there."""
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried > 5
    assert failed == 0


def test_readme_knows_every_room() -> None:
    """Every module of the package is named in the README."""
    package = Path(kl_reference.__file__).parent
    text = README.read_text(encoding="utf-8")
    rooms = {path.stem for path in package.glob("*.py")} - {"__init__", "enclosure"}
    assert {room for room in rooms if f"`{room}`" not in text} == set()


def test_face_is_complete() -> None:
    """Everything the package promises is there, in alphabetical order."""
    assert sorted(kl_reference.__all__) == kl_reference.__all__
    assert all(hasattr(kl_reference, name) for name in kl_reference.__all__)
