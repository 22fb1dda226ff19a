"""The documentation of the reference is correct."""

import doctest
from pathlib import Path

import kl_reference

README = Path(__file__).resolve().parents[1] / "README.md"


def test_readme_runs() -> None:
    """The examples in the README print the documented output."""
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried > 5
    assert failed == 0


def test_readme_names_every_module() -> None:
    """The README names every module of the package."""
    package = Path(kl_reference.__file__).parent
    text = README.read_text(encoding="utf-8")
    modules = {path.stem for path in package.rglob("*.py")} - {"__init__", "enclosure"}
    assert {module for module in modules if f"`{module}`" not in text} == set()


def test_public_names_are_complete() -> None:
    """Every name in ``__all__`` exists, in alphabetical order."""
    assert sorted(kl_reference.__all__) == kl_reference.__all__
    assert all(hasattr(kl_reference, name) for name in kl_reference.__all__)
