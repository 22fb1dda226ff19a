"""Selection: what the user selected; serialises to one JSON object."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, cast

from kl_cases.recipes import TestProfile
from kl_conformance.errors import check_known
from kl_conformance.harness.modes import EAGER, dtypes, modes
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.implementation import Implementation
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column


@dataclass(frozen=True, slots=True)
class Selection:
    """Implementations and columns to test, and the test effort; an empty tuple means all.

    Parameters
    ----------
    implementations
        Names, ``module:attribute`` or ``file.py:attribute``.
    frameworks, devices, dtypes, modes
        Names; without modes, ``eager``.
    profile, seed
        Test effort, and the seed of the search.
    like
        Built-in implementation that user callables follow. The first of ``frameworks``, if any, is then the
        framework whose tensors they take.
    strict
        Whether the known deviations of ``like`` are failures of a user callable.
    shape
        Rows and classes to test as well.
    reduced
    reduced
        Dtypes with reduced effort; see :func:`kl_conformance.cells.effort.reduced_dtypes`.
    column_keys
        Keys of the columns to test, if other workers test the others; empty for all.
    """

    implementations: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    profile: TestProfile = TestProfile.STANDARD
    seed: int = 0
    like: str = ""
    strict: bool = False
    shape: tuple[int, int] | None = None
    reduced: tuple[str, ...] = ()
    column_keys: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the selection as a JSON object for :meth:`from_json`."""
        values = asdict(self) | {"profile": self.profile.value}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the selection of a JSON object of :meth:`to_json`.

        Raises
        ------
        ValueError
            The object is not valid; the message names the field, its value and the expected type.
        """
        if not isinstance(data, dict):
            raise ValueError(f"{data!r} is not a selection: expected an object")
        given = cast("dict[str, Any]", data)
        names = [field.name for field in fields(cls)]
        check_known("field of a selection", given, names)
        values: dict[str, Any] = {}
        for name in names:
            if name not in given:
                raise ValueError(f"the selection has no field {name!r}")
            value, (is_valid, expected) = given[name], _EXPECTED.get(name, _NAMES)
            if not is_valid(value):
                raise ValueError(f"the field {name!r} of the selection is {value!r}, expected {expected}")
            values[name] = tuple(value) if isinstance(value, list) else value
        values["profile"] = TestProfile(values["profile"])
        return cls(**values)

    def check(self) -> None:
        """Raise for unknown names; user modules are not imported.

        Raises
        ------
        UnknownNameError
            The message gives the name and the known names.
        """
        frameworks = registry.FRAMEWORKS.values()
        check_known("framework", self.frameworks, registry.FRAMEWORKS)
        check_known("device", self.devices, dict.fromkeys(d for each in frameworks for d in each.devices))
        check_known("dtype", self.dtypes, [dtype.label for dtype in Dtype])
        every_mode = (name for each in frameworks for name in (*each.setting_modes, *each.compiled_modes))
        check_known("mode", self.modes, dict.fromkeys((EAGER, *every_mode)))
        if self.like:
            check_known("implementation", [self.like], registry.IMPLEMENTATIONS)
        for name in self.implementations:
            if not loading.is_user_kernel(name):
                loading.implementation(name)

    def load_implementations(self) -> list[Implementation]:
        """Return the selected implementations; user modules are imported.

        Raises
        ------
        ValueError
            A name is unknown, a user implementation cannot be tested, or two implementations have the same name.
        """
        self.check()
        tensors = self.frameworks[0] if self.like and self.frameworks else ""
        named = [
            loading.implementation(name, self.like, framework=tensors, strict=self.strict)
            for name in dict.fromkeys(self.implementations)
        ]
        by_name: dict[str, Implementation] = {}
        for each in named or registry.IMPLEMENTATIONS.values():
            if by_name.setdefault(each.name, each) is not each:
                raise ValueError(f"two implementations are named {each.name!r}; give one another name")
        return self._in_frameworks(by_name.values())

    def builtin_implementations(self) -> list[Implementation]:
        """Return the selected built-in implementations; user modules are not imported."""
        names = dict.fromkeys(self.implementations or registry.IMPLEMENTATIONS)
        return self._in_frameworks(loading.implementation(x) for x in names if not loading.is_user_kernel(x))

    def _in_frameworks(self, implementations: Iterable[Implementation]) -> list[Implementation]:
        return [each for each in implementations if not self.frameworks or each.framework in self.frameworks]

    def explain_empty(self) -> str:
        """Return why nothing is selected: the names given, and the known ones."""
        named = (("of", self.frameworks), ("on", self.devices), ("in", (*self.dtypes, *self.modes)))
        given = " ".join(f"{word} {' or '.join(names)}" for word, names in named if names)
        columns = [column for each in self.load_implementations() for column in columns_of(each)]
        if not columns:
            known = ", ".join(registry.frameworks_with_builtins())
            which = "none of the named implementations is" if self.implementations else "no implementation"
            return f"nothing to test: {which} {given}; frameworks with built-in implementations: {known}"
        names, devices, dtypes = (
            ", ".join(dict.fromkeys(values))
            for values in zip(*((one.implementation, one.device, one.dtype) for one in columns), strict=True)
        )
        return f"nothing to test {given}: {names} can be tested on {devices} in {dtypes}"

    def includes(self, column: Column) -> bool:
        """Whether a column is selected; modes other than eager are expensive, and selected only by name."""
        criteria = (
            (self.devices, column.device),
            (self.dtypes, column.dtype),
            (self.modes or (EAGER,), column.mode),
            (self.column_keys, column.key),
        )
        return all(not names or name in names for names, name in criteria)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value))


def _is_shape(value: object) -> bool:
    if not isinstance(value, list):
        return value is None
    sizes = cast("list[object]", value)
    return len(sizes) == 2 and all(isinstance(each, int) and each > 0 for each in sizes)


_PROFILES = [each.value for each in TestProfile]
_NAMES = (_is_names, "a list of names")
_EXPECTED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "profile": (lambda value: value in _PROFILES, f"one of {', '.join(_PROFILES)}"),
    "seed": (lambda value: isinstance(value, int) and not isinstance(value, bool), "an integer"),
    "like": (lambda value: isinstance(value, str), "a name"),
    "strict": (lambda value: isinstance(value, bool), "true or false"),
    "shape": (_is_shape, "null or [rows, classes]"),
}


def parse_shape(text: str) -> tuple[int, int] | None:
    """Return the rows and classes in a text such as ``2048x131072``; None for an empty text.

    Raises
    ------
    ValueError
        The message gives the text.
    """
    if not text:
        return None
    try:
        rows, classes = (int(part) for part in text.split("x"))
    except ValueError:
        rows = classes = 0
    if min(rows, classes) < 1:
        raise ValueError(f"the shape {text!r} is not ROWSxCLASSES, such as 2048x131072")
    return rows, classes


def columns_of(implementation: Implementation) -> list[Column]:
    """Return every column of an implementation: device × mode × dtype."""
    framework = registry.framework(implementation.framework)
    version = registry.installed_version(implementation.package)
    return [
        Column(implementation.name, implementation.framework, version, device, dtype.label, mode)
        for device in framework.devices
        for mode in modes(implementation, framework)
        for dtype in dtypes(implementation, framework, mode)
    ]
