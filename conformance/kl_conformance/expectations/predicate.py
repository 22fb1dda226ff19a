"""Parses and evaluates region expressions such as `p == 0 and log_q == -inf`."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "exp": np.exp,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "log": np.log,
    # Whether any element of the same row is true: the inputs of a row's sum, or of its softmax.
    "row": lambda where: np.any(where, axis=-1, keepdims=True) | np.zeros_like(where),
    # Whether no element of the same row is larger.
    "top": lambda values: values == np.max(values, axis=-1, keepdims=True, initial=-np.inf),
}
_CONSTANTS: Mapping[str, float] = {"inf": np.inf, "nan": np.nan}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


@dataclass(frozen=True, slots=True)
class Predicate:
    """A Boolean expression over named arrays: comparisons, and/or/not, + − × ÷, a few functions, and nothing else.

    Parameters
    ----------
    text
        The expression, in Python's syntax.
    names
        The names it may use in addition to the functions, ``inf``, ``nan``, ``True`` and ``False``.

    Raises
    ------
    ValueError
        The text is no such expression, or uses an unknown name; the message lists the known ones.
    """

    text: str
    names: frozenset[str]

    def __post_init__(self) -> None:
        """Raise for an expression that cannot be evaluated."""
        try:
            tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            raise ValueError(f"{self.text!r} is not an expression: {error.msg}") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in {*self.names, *_FUNCTIONS, *_CONSTANTS}:
                known = ", ".join(sorted({*self.names, *_FUNCTIONS, *_CONSTANTS}))
                raise ValueError(f"unknown name {node.id!r} in {self.text!r}; known: {known}")
        with np.errstate(all="ignore"):
            _evaluate(tree.body, dict.fromkeys(self.names, np.ones(1)))

    def __call__(self, values: Mapping[str, Any]) -> Array:
        """Return where the expression is true, as an array of the values' broadcast shape."""
        with np.errstate(all="ignore"):
            return np.asarray(_evaluate(ast.parse(self.text, mode="eval").body, values), dtype=bool)


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.BoolOp(op, parts):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            result = _evaluate(parts[0], values)
            for part in parts[1:]:
                result = join(result, _evaluate(part, values))
            return result
        case ast.UnaryOp(ast.Not(), operand):
            return np.logical_not(_evaluate(operand, values))
        case ast.UnaryOp(ast.USub(), operand):
            return np.negative(_evaluate(operand, values))
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_evaluate(left, values), _evaluate(right, values))
        case ast.Compare(left, ops, rights) if all(type(op) in _COMPARISONS for op in ops):
            sides = [_evaluate(left, values), *(_evaluate(right, values) for right in rights)]
            steps = [_COMPARISONS[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False)]
            return np.logical_and.reduce(np.broadcast_arrays(*steps))
        case ast.Call(ast.Name(name), [argument], []) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_evaluate(argument, values))
        case ast.Name(name) if name not in _FUNCTIONS:
            return _CONSTANTS[name] if name in _CONSTANTS else values[name]
        case ast.Constant(bool() | int() | float() as value):
            return value
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed in a predicate")
