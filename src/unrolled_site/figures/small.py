"""A drawing of a recurrence so small that every number of it is written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .svg import SMALL, Figure, arrow, box, signed, text
from .values import (
    Matrix,
    activate,
    add,
    check_result,
    matrix,
    multiply,
    shape_text,
    transpose,
    vector,
)

__all__ = ["small_example"]

Runs = list[tuple[str, str | None]]

_PANEL, _UNIT, _LINE = (176.0, 162.0), 77.0, 17.0  # a panel, and in it a unit of four lines
_CELL = (46.0, 24.0)
_NARROW, _WIDE = 360.0, 700.0


def small_example() -> Figure:
    """Draw three steps of ``nn.RNN`` with every number written down.

    The module and its input are `unrolled_site.example.small_example`; the states are those that
    the module gives.

    Returns
    -------
    Figure
        The drawing, with a wide layout for wide columns.

    Examples
    --------
    >>> small_example().title
    'Three steps of nn.RNN, every number'
    """
    from .. import example  # needs torch

    rnn, x, h_0 = example.small_example()
    output, h_n = rnn(x, h_0)
    values = _read(rnn.state_dict(), x[0], h_0[0], output[0].detach())
    check_result("h_n", matrix("h_n", h_n[0].detach()), values.states[-1:])
    title, description = "Three steps of nn.RNN, every number", _description(values)
    body, height = _side_by_side(values)
    wide = Figure(title, description, body, height, _WIDE)
    return Figure(title, description, *_stacked(values), wide=wide)


@dataclass(frozen=True, slots=True)
class _Values:
    """The numbers; `states` begins with h_0."""

    w_ih: list[float]
    w_hh: Matrix
    b_ih: list[float]
    b_hh: list[float]
    inputs: list[float]
    states: Matrix
    sums: Matrix


def _read(parameters: dict[str, Any], x: Any, h_0: Any, output: Any) -> _Values:
    """Read the numbers, and check that the sums lead to the states of the module."""
    w_ih, inputs = matrix("weight_ih", parameters["weight_ih_l0"]), matrix("x", x)
    w_hh = matrix("weight_hh", parameters["weight_hh_l0"])
    b_ih, b_hh = (vector(name, parameters[f"{name}_l0"]) for name in ("bias_ih", "bias_hh"))
    states = matrix("h_0", h_0) + matrix("output", output)
    steps = len(inputs)
    sums = add(
        multiply(inputs, transpose(w_ih)), [b_ih] * steps,
        multiply(states[:-1], transpose(w_hh)), [b_hh] * steps,
    )  # fmt: skip
    check_result("output", states[1:], activate("tanh", sums))
    (column,), (features,) = transpose(w_ih), transpose(inputs)
    return _Values(column, w_hh, b_ih, b_hh, features, states, sums)


def _side_by_side(values: _Values) -> tuple[str, float]:
    """Draw the steps from left to right, each with its state below."""
    left, pitch, top = 106.0, 200.0, 166.0
    row = top + _PANEL[1] + 24
    entry = top + _PANEL[1] / 2
    parts = [_formula(_WIDE / 2), *_parameters(values, (106.0, 250.0, 420.0, 560.0))]
    parts.append(_state(values, 0, (2.0, row), above=True))
    before = 48.0
    for t in range(1, len(values.states)):
        x = left + pitch * (t - 1)
        middle = x + _PANEL[0] / 2
        # The state before comes out of its upper or its right edge, and in from the left.
        out = [(before, row - 22)] if t == 1 else [(before + 48, row + 12), (x - 14, row + 12)]
        turn = (before if t == 1 else x - 14, entry)
        parts += [
            arrow([*out, turn, (x - 1, entry)], token="h"),
            text(middle, top - 23, _input(values, t), kind="math"),
            arrow([(middle, top - 16), (middle, top - 2)], token="x"),
            _panel(values, t, x, top),
            arrow([(middle, top + _PANEL[1]), (middle, row - 2)], token="h"),
            _state(values, t, (middle - _CELL[0], row)),
        ]
        before = middle
    return "".join(parts), row + 66


def _stacked(values: _Values) -> tuple[str, float]:
    """Draw the steps below each other, each with its state beside."""
    left, right, pitch, top = 62.0, 262.0, _PANEL[1] + 30, 194.0
    parts = [_formula(_NARROW / 2), *_parameters(values, (1.0, 95.0, 188.0, 275.0))]
    parts.append(_state(values, 0, (right, 128.0), above=True))
    before = 140.0
    for t in range(1, len(values.states)):
        y = top + pitch * (t - 1)
        middle, x = y + _PANEL[1] / 2, left + _PANEL[0] / 2
        parts += [
            arrow([(right + 93, before), (_NARROW - 1, before), (_NARROW - 1, y - 16), (x, y - 16),
                   (x, y - 1)], token="h"),
            text(2, middle + 5, _input(values, t), anchor="start", kind="math"),
            arrow([(46, middle), (left - 1, middle)], token="x"),
            _panel(values, t, left, y),
            arrow([(left + _PANEL[0], middle), (right - 2, middle)], token="h"),
            _state(values, t, (right, middle - 12), above=True),
        ]  # fmt: skip
        before = middle
    return "".join(parts), top + pitch * (len(values.states) - 1) - 22


def _formula(x: float) -> str:
    """Write the formula that the numbers follow."""
    formula: Runs = [
        ("h_{t}", "h"), (" = ", None), ("tanh", "act"), ("( ", None), ("x_{t}", "x"),
        ("W_{ih}^{⊤}", "wih"), (" + ", None), ("b_{ih}", "b"), (" + ", None),
        ("h_{t-1}", "h"), ("W_{hh}^{⊤}", "whh"), (" + ", None), ("b_{hh}", "b"), (" )", None),
    ]  # fmt: skip
    return text(x, 20, formula, kind="math")


def _parameters(values: _Values, columns: Sequence[float]) -> list[str]:
    """Write the parameters as PyTorch stores them, with their names."""
    parts = []
    blocks: tuple[tuple[str, str, Matrix], ...] = (
        ("weight_ih_l0", "wih", transpose([values.w_ih])),
        ("weight_hh_l0", "whh", values.w_hh),
        ("bias_ih_l0", "b", [values.b_ih]),
        ("bias_hh_l0", "b", [values.b_hh]),
    )
    for x, (name, token, rows) in zip(columns, blocks, strict=True):
        parts.append(text(x, 52, name, anchor="start", kind="code", token=token))
        for i, numbers in enumerate(rows):
            for j, value in enumerate(numbers):
                at = (x + 36 * j, 60.0 + 24 * i)
                parts.append(_cell(*at, 36.0, _short(value), token))
    return parts


def _panel(values: _Values, t: int, x: float, y: float) -> str:
    """Write what a step computes: for each unit the sum in four lines."""
    parts = [box(x, y, *_PANEL, fill=0.04, stroke=0.5)]
    before = values.states[t - 1]
    for unit, (weight, row) in enumerate(zip(values.w_ih, values.w_hh, strict=True)):
        top = y + 18 + _UNIT * unit
        lines: tuple[Runs, ...] = (
            [
                *_product(weight, values.inputs[t - 1], "wih", "x", first=True),
                *_plus(values.b_ih[unit]),
            ],
            [run for w, h in zip(row, before, strict=True) for run in _product(w, h, "whh", "h")],
            [*_plus(values.b_hh[unit]), (f" = {signed(values.sums[t - 1][unit], 3)}", None)],
            [
                ("tanh", "act"),
                (f"({signed(values.sums[t - 1][unit], 3)}) = ", None),
                (signed(values.states[t][unit], 3), "h"),
            ],
        )
        parts.append(text(x + _PANEL[0] - 8, top, f"unit {unit + 1}", anchor="end", kind="dim"))
        parts += [
            text(x + 8, top + _LINE * place, content, anchor="start", size=SMALL)
            for place, content in enumerate(lines)
        ]
    return "".join(parts)


def _product(weight: float, value: float, token: str, of: str, first: bool = False) -> Runs:
    """Write a weight with its sign, and what it multiplies."""
    sign = (" + " if weight >= 0 else " − ", None)
    number, shown = (_short(weight if first else abs(weight)), token), _short(value)
    product: Runs = [number, ("·", None), (f"({shown})" if value < 0 else shown, of)]
    return product if first else [sign, *product]


def _plus(bias: float) -> Runs:
    """Write a sign and a bias."""
    return [(" + " if bias >= 0 else " − ", None), (_short(abs(bias)), "b")]


def _state(values: _Values, t: int, at: tuple[float, float], above: bool = False) -> str:
    """Write a state: its two numbers in cells, its name, and where PyTorch has it."""
    (x, y), (width, height) = at, _CELL
    last = t == len(values.states) - 1
    name = f"h_{{{t}}}" + (" = h_{n}" if last and above else "")
    parts = [
        _cell(x + width * unit, y, width, _short(value), "h", height)
        for unit, value in enumerate(values.states[t])
    ]
    place = (x + width, y - 8) if above else (x - 8, y + 17)
    parts.append(text(*place, name, anchor="middle" if above else "end", token="h", kind="math"))
    if last and not above:
        parts.append(
            text(
                x + 2 * width + 8,
                y + 17,
                [(" = ", None), ("h_{n}", "h")],
                anchor="start",
                kind="math",
            )
        )
    codes = [f"output[0, {t - 1}]" if t else "h_0[0, 0]", *(["h_n[0, 0]"] if last else [])]
    for row, code in enumerate(codes):
        parts.append(text(x + width, y + height + 16 + 16 * row, code, kind="code"))
    return "".join(parts)


def _cell(x: float, y: float, width: float, shown: str, token: str, height: float = 24.0) -> str:
    """Write a number in a box of its colour."""
    return box(x, y, width, height, token=token, fill=0.1, stroke=0.6) + text(
        x + width / 2, y + height / 2 + 4.5, shown, size=SMALL
    )


def _input(values: _Values, t: int) -> Runs:
    """Write the input of a step."""
    return [(f"x_{{{t}}}", "x"), (f" = {_short(values.inputs[t - 1])}", None)]


def _short(value: float) -> str:
    """Write a number that has one decimal with it, and any other with three."""
    return f"{value:g}".replace("-", "−") if round(value, 1) == value else signed(value, 3)


def _description(values: _Values) -> str:
    """Say all numbers."""
    words = [
        "One input feature, two hidden units. "
        f"weight_ih_l0 {_listed(values.w_ih)}, weight_hh_l0 with the rows "
        + " and ".join(_listed(row) for row in values.w_hh)
        + f", bias_ih_l0 {_listed(values.b_ih)}, bias_hh_l0 {_listed(values.b_hh)}, "
        f"h_0 {_listed(values.states[0])}."
    ]
    for t, (x, sums) in enumerate(zip(values.inputs, values.sums, strict=True), 1):
        words.append(
            f"Step {t}: x_{t} is {_short(x)}; the sums {_listed(sums)} go through tanh and give "
            f"h_{t} {_listed(values.states[t])}, which goes "
            + ("into the next step." if t < len(values.inputs) else "out as h_n.")
        )
    shape = shape_text(1, len(values.inputs), len(values.w_ih))
    return " ".join(words) + f" The rows of output {shape} are the states in order."


def _listed(numbers: list[float]) -> str:
    """Write numbers in a row."""
    return "(" + ", ".join(_short(number) for number in numbers) + ")"
