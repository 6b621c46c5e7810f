"""Read the arguments of the figures as plain numbers, check results, and put both into words."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from .svg import signed

__all__ = [
    "Matrix",
    "activate",
    "add",
    "check_result",
    "difference",
    "flat",
    "largest",
    "matrix",
    "multiply",
    "one_of",
    "range_text",
    "shape_text",
    "transpose",
    "vector",
    "whole",
    "words",
]

Matrix: TypeAlias = list[list[float]]

_TOLERANCE = 1e-3
"""A result further from the formula, as a part of its largest value, is not its result.

Far more than the rounding of float32, far less than the error of a wrong formula."""


def matrix(name: str, values: Any, shape: tuple[int | None, int | None] = (None, None)) -> Matrix:
    """Read a matrix.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    values : nested lists, or an object with ``tolist``
        Two dimensions.
    shape : tuple of int or None
        The rows and columns expected; None is any number.

    Returns
    -------
    list of list of float
        The rows.

    Raises
    ------
    TypeError
        If something in it is not a number.
    ValueError
        If it is empty, not of two dimensions, of another shape, or not finite.

    Examples
    --------
    >>> matrix("a", [[1, 2], [3, 4]])
    [[1.0, 2.0], [3.0, 4.0]]
    """
    plain = _plain(values)
    if not isinstance(plain, list):
        raise TypeError(f"{name} should be a matrix, got {type(values).__name__}")
    rows = [_numbers(name, row, "a matrix") for row in plain]
    widths = {len(row) for row in rows}
    if len(widths) != 1 or 0 in widths:
        raise ValueError(
            f"{name} should be a matrix with rows of one length, "
            f"got rows of lengths {[len(row) for row in rows]}"
        )
    actual = (len(rows), widths.pop())
    if any(want is not None and want != got for want, got in zip(shape, actual, strict=True)):
        expected = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} should have shape ({expected}), got {actual}")
    return rows


def vector(name: str, values: Any, length: int | None = None) -> list[float]:
    """Read a vector.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    values : list, or an object with ``tolist``
        One dimension.
    length : int, optional
        The length expected.

    Returns
    -------
    list of float
        The numbers.

    Raises
    ------
    TypeError
        If something in it is not a number.
    ValueError
        If it is empty, of another length, or not finite.

    Examples
    --------
    >>> vector("b", (1, 2))
    [1.0, 2.0]
    """
    numbers = _numbers(name, _plain(values), "a vector")
    if not numbers or (length is not None and len(numbers) != length):
        expected = "at least one number" if length is None else f"shape ({length},)"
        raise ValueError(f"{name} should have {expected}, got shape ({len(numbers)},)")
    return numbers


def flat(name: str, values: Any) -> list[float]:
    """Read the numbers of a vector or a matrix, row after row."""
    plain = _plain(values)
    if isinstance(plain, list) and plain and isinstance(plain[0], list):
        return [value for row in matrix(name, plain) for value in row]
    return vector(name, plain)


def whole(name: str, value: Any, low: int = 1, high: int | None = None) -> int:
    """Read a whole number.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    value : int
        The number.
    low : int, default 1
        The smallest one allowed.
    high : int, optional
        The largest one allowed.

    Returns
    -------
    int
        The number.

    Raises
    ------
    TypeError
        If it is not an int.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> whole("L", 5)
    5
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} should be int, got {type(value).__name__}")
    if value < low or (high is not None and value > high):
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name} should be {expected}, got {value}")
    return value


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Read a word from a list.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    value : str
        The word.
    choices : tuple of str
        Those allowed.

    Returns
    -------
    str
        The word.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> one_of("nonlinearity", "tanh", ("tanh", "relu"))
    'tanh'
    """
    if value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ValueError(f"{name} should be one of {expected}, got {value!r}")
    return str(value)


def _plain(values: Any) -> Any:
    """Turn arrays, tensors, tuples and ranges into lists."""
    if hasattr(values, "tolist"):
        return values.tolist()
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [_plain(value) for value in values]
    return values


def _numbers(name: str, values: Any, expected: str) -> list[float]:
    """Check that `values` is a list of finite numbers."""
    if not isinstance(values, list):
        raise TypeError(f"{name} should be {expected}, got {type(values).__name__}")
    for value in values:
        if isinstance(value, list):
            raise ValueError(f"{name} should be {expected}, got one more dimension")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} should be numbers, got {type(value).__name__}")
        if not math.isfinite(value):
            raise ValueError(f"{name} should be finite numbers, got {value}")
    return [float(value) for value in values]


def largest(values: Matrix) -> float:
    """Give the largest magnitude."""
    return max(abs(value) for row in values for value in row)


def difference(actual: Matrix, expected: Matrix) -> float:
    """Give the largest difference of two matrices of one shape, 0.0 if it is only rounding."""
    error = largest(add(actual, [[-value for value in row] for row in expected]))
    return error if error > _TOLERANCE * largest(expected) + 1e-6 else 0.0


def check_result(name: str, actual: Matrix, expected: Matrix) -> None:
    """Refuse to draw a result that the formula does not give."""
    error = difference(actual, expected)
    if error:
        raise ValueError(f"{name} should be the result of the formula, got one off by {error:.2g}")


def multiply(a: Matrix, b: Matrix) -> Matrix:
    """Multiply two matrices."""
    columns = transpose(b)
    return [
        [sum(p * q for p, q in zip(row, column, strict=True)) for column in columns] for row in a
    ]


def add(*terms: Matrix) -> Matrix:
    """Add matrices of one shape."""
    return [
        [sum(numbers) for numbers in zip(*rows, strict=True)] for rows in zip(*terms, strict=True)
    ]


def transpose(values: Matrix) -> Matrix:
    """Turn rows into columns."""
    return [list(column) for column in zip(*values, strict=True)]


def activate(nonlinearity: str, values: Matrix) -> Matrix:
    """Apply the activation to each number."""
    if nonlinearity == "tanh":
        return [[math.tanh(value) for value in row] for row in values]
    return [[max(0.0, value) for value in row] for row in values]


def shape_text(*sizes: int) -> str:
    """Write a shape as Python does."""
    return str(sizes)


def range_text(values: Matrix) -> str:
    """Write the smallest and the largest value."""
    flat = [value for row in values for value in row]
    return f"{signed(min(flat))} to {signed(max(flat))}"


def words(name: str) -> str:
    """Write mathematics as plain text."""
    return (
        name.replace("_{", "_").replace("^{⊤}", " transposed").replace("^{", "^").replace("}", "")
    )
