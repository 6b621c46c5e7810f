"""Drawings of the loop over time: what happens, what the article draws, and the states."""

from typing import Any

from .blocks import cells, extent, place
from .svg import SMALL, SYMBOL, WIDTH, Content, Figure, arrow, box, text, text_width
from .values import (
    Matrix,
    activate,
    add,
    check_result,
    difference,
    matrix,
    multiply,
    one_of,
    range_text,
    transpose,
    vector,
    words,
)

__all__ = ["broadcast_picture", "recurrence", "states_over_time"]


def recurrence(
    projected: Any,
    weight_hh: Any,
    bias_hh: Any,
    h_0: Any,
    states: Any,
    nonlinearity: str = "tanh",
) -> Figure:
    r"""Draw the loop over time of one sequence: each state feeds the next step.

    Step ``t`` is :math:`h_t = \tanh(p_t + h_{t-1} W_{hh}^T + b_{hh})` with the projected input
    :math:`p_t = x_t W_{ih}^T + b_{ih}`.

    Parameters
    ----------
    projected : array_like
        ``x @ weight_ih.T + bias_ih`` of all steps, ``(L, H_out)``.
    weight_hh, bias_hh : array_like
        ``(H_out, H_out)`` and ``(H_out,)``.
    h_0 : array_like
        The initial hidden state, ``(H_out,)``.
    states : array_like
        The hidden states, ``(L, H_out)``.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        The activation.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If something in an argument is not a number.
    ValueError
        If the shapes do not belong together, or `states` is not what the loop gives.

    Examples
    --------
    >>> figure = recurrence([[0.5], [0.0]], [[1.0]], [0.0], [0.0], [[0.4621], [0.4318]])
    >>> figure.title
    'The loop: each state feeds the next step'
    """
    rows, turned, shift, initial, real = _loop_arguments(
        projected, weight_hh, bias_hh, h_0, states, nonlinearity
    )
    before = [initial, *real[:-1]]
    weighted = add(multiply(before, turned), [shift] * len(rows))
    check_result("states", real, activate(nonlinearity, add(rows, weighted)))
    strips = _Strips(len(initial), nonlinearity)
    parts = [strips.panels(len(rows), "in the loop, step by step")]
    L = len(rows)
    parts.append(strips.initial(initial))
    for t in range(L):
        y = strips.top(t)
        parts.append(strips.step(t, rows[t], weighted[t], real[t], y))
        parts.append(strips.label(0, y, _weighted("x", t + 1)))
        parts.append(strips.label(1, y, _weighted("h", t)))
        last = " = h_{n}" if t == L - 1 else ""
        parts.append(strips.label(2, y, [(f"h_{{{t + 1}}}{last}", "h")]))
        parts.append(strips.feed(t))
    return Figure(
        "The loop: each state feeds the next step",
        f"One row for each of {L} time steps, {len(initial)} features wide. In row t the projected "
        "input, computed for all steps before the loop, is added to h_(t-1) W_hh^T + b_hh, and "
        f"{strips.activation} of the sum is h_t. An arrow leads from h_t to row t + 1. "
        f"It begins with h_0; h_{L} is h_n.",
        "".join(parts),
        strips.top(L),
    )


def broadcast_picture(
    projected: Any,
    weight_hh: Any,
    bias_hh: Any,
    h_0: Any,
    states: Any,
    nonlinearity: str = "tanh",
) -> Figure:
    """Draw what the article draws: the initial state, added to the rows of all steps.

    This is wrong from the second step on; the drawing says by how much.

    Parameters
    ----------
    projected, weight_hh, bias_hh, h_0, states, nonlinearity
        As in `recurrence`; `states` are the true ones, for comparison.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError, ValueError
        As `recurrence`.

    Examples
    --------
    >>> figure = broadcast_picture([[0.5], [0.0]], [[1.0]], [0.0], [0.0], [[0.4621], [0.4318]])
    >>> figure.description.split(". ")[1]
    'Step 1: right'
    """
    rows, turned, shift, initial, real = _loop_arguments(
        projected, weight_hh, bias_hh, h_0, states, nonlinearity
    )
    L = len(rows)
    before = [initial, *real[:-1]]
    true = add(rows, multiply(before, turned), [shift] * L)
    check_result("states", real, activate(nonlinearity, true))
    weighted = add(multiply([initial], turned), [shift])[0]
    claimed = activate(nonlinearity, add(rows, [weighted] * L))
    strips = _Strips(len(initial), nonlinearity)
    parts = [strips.panels(L, "one state for every step (wrong)")]
    parts.append(strips.initial(initial))
    verdicts = []
    for t in range(L):
        y = strips.top(t)
        error = difference([claimed[t]], [real[t]])
        verdicts.append(f"wrong by {error:.2g}" if error else "right")
        parts.append(strips.step(t, rows[t], weighted, claimed[t], y))
        parts.append(strips.label(0, y, _weighted("x", t + 1)))
        parts.append(strips.label(1, y, _weighted("h", 0)))
        parts.append(strips.verdict(y, verdicts[-1]))
    parts.append(strips.feed(0))
    listed = " ".join(f"Step {t + 1}: {verdict}." for t, verdict in enumerate(verdicts))
    return Figure(
        "Not what happens: one state added to every step",
        f"The same row h_0 W_hh^T + b_hh is added to the projected inputs of all {L} steps, and "
        f"{strips.activation} of each sum is called a hidden state. {listed}",
        "".join(parts),
        strips.top(L),
    )


def states_over_time(values: Any, name: str = "h_{t}", token: str | None = "h") -> Figure:
    """Draw the features of a state as they change over time.

    Parameters
    ----------
    values : array_like
        The state at each time step, ``(L, H_out)``.
    name : str, default "h_{t}"
        The symbol of the state.
    token : str, optional
        Its ink.

    Returns
    -------
    Figure
        The drawing: time runs to the right, each line is one feature.

    Raises
    ------
    TypeError
        If something in it is not a number.
    ValueError
        If it is not a matrix.

    Examples
    --------
    >>> states_over_time([[0.5, -0.5], [0.1, 0.9]]).description
    'h_t: 2 features (lines) at 2 time steps (columns), with values from −0.50 to 0.90.'
    """
    rows = matrix("values", values)
    L, H = len(rows), len(rows[0])
    left = 92.0
    width = min(42.0, (WIDTH - left - 8) / extent(L, 1))
    height = min(width, 16.0, 300 / extent(H, 1))
    # A short block still has room for its names.
    x, y = (WIDTH - left - extent(L, width)) / 2 + left, max(12.0, 28 - extent(H, height) / 2)
    bottom = y + extent(H, height)
    middle = (y + bottom) / 2
    parts = [cells(x, y, transpose(rows), width, token, height)]
    for index in sorted({0, L - 1}):
        at = x + ((place(L, index) or 0) + 0.5) * width
        parts.append(text(at, bottom + 17, str(index + 1), kind="dim"))
    parts.append(text(x + extent(L, width) / 2, bottom + 34, "time step", size=SMALL))
    runs: Content = [(name, token)]
    parts.append(text(x - 10, middle - 3, "feature of", anchor="end", size=SMALL))
    parts.append(text(x - 10, middle + 14, runs, anchor="end", kind="math"))
    return Figure(
        "States over time",
        f"{words(name)}: {H} features (lines) at {L} time steps (columns), "
        f"with values from {range_text(rows)}.",
        "".join(parts),
        bottom + 42,
    )


class _Strips:
    """The common layout of `recurrence` and `broadcast_picture`: three strips for each step."""

    HEIGHT = 15.0
    PITCH = 62.0
    FIRST = 88.0
    SLOT = 84.0

    def __init__(self, H_out: int, nonlinearity: str) -> None:
        self.activation = "tanh" if nonlinearity == "tanh" else "ReLU"
        self.cell = min(28.0, self.SLOT / extent(H_out, 1))
        self.width = extent(H_out, self.cell)
        # Between the slots are a plus, and the activation with an arrow.
        self.left = [slot + (self.SLOT - self.width) / 2 for slot in (9.0, 119.0, 260.0)]

    def top(self, t: int) -> float:
        """Give the upper edge of the strips of step `t`, counted from 0."""
        return self.FIRST + self.PITCH * t

    def panels(self, L: int, title: str) -> str:
        """Draw the two panels and their titles."""
        bottom = self.top(L) - 26
        return (
            box(2, 26, 98, bottom - 20, fill=0.04, stroke=0.25)
            + box(112, 26, 246, bottom - 20, fill=0.04, stroke=0.25)
            + text(51, 17, "before the loop", size=SMALL)
            + text(235, 17, title, size=SMALL)
        )

    def initial(self, h_0: list[float]) -> str:
        """Draw the initial state."""
        x, y = self.left[2], 36.0
        return cells(x, y, [h_0], self.cell, "h", self.HEIGHT) + text(
            x - 8, y + 13, "h_{0}", anchor="end", token="h", kind="math"
        )

    def step(
        self, t: int, row: list[float], weighted: list[float], state: list[float], y: float
    ) -> str:
        """Draw the strips of one step, with plus and activation between them."""
        middle = y + self.HEIGHT / 2
        half = text_width(self.activation, SYMBOL, "math") / 2
        centre, end = 208 + half, self.left[2]
        return "".join(
            (
                cells(self.left[0], y, [row], self.cell, None, self.HEIGHT),
                text(106, middle + 5, "+", kind="math"),
                cells(self.left[1], y, [weighted], self.cell, None, self.HEIGHT),
                text(centre, middle + 5, self.activation, token="act", kind="math"),
                arrow([(centre + half + 2, middle), (end - 3, middle)]),
                cells(self.left[2], y, [state], self.cell, "h", self.HEIGHT),
            )
        )

    def label(self, column: int, y: float, content: Content) -> str:
        """Write the name of a strip below it."""
        x = self.left[column] + self.width / 2
        return text(x, y + self.HEIGHT + 17, content, kind="math")

    def verdict(self, y: float, content: str) -> str:
        """Write under a state whether it is the true one."""
        x = self.left[2] + self.width / 2
        return text(x, y + self.HEIGHT + 17, content)

    def feed(self, t: int) -> str:
        """Draw the arrow from the state before step `t` to the step."""
        right = self.left[2] + self.width + 2
        start = 36.0 if t == 0 else self.top(t - 1)
        level = self.top(t) - 19
        into = self.left[1] + self.width / 2
        return arrow(
            [
                (right, start + self.HEIGHT / 2),
                (right + 5, start + self.HEIGHT / 2),
                (right + 5, level),
                (into, level),
                (into, self.top(t) - 3),
            ],
            token="h",
        )


def _loop_arguments(
    projected: Any, weight_hh: Any, bias_hh: Any, h_0: Any, states: Any, nonlinearity: str
) -> tuple[Matrix, Matrix, list[float], list[float], Matrix]:
    """Read the arguments of the loop; the weight comes back transposed."""
    one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
    rows = matrix("projected", projected)
    L, H_out = len(rows), len(rows[0])
    turned = transpose(matrix("weight_hh", weight_hh, (H_out, H_out)))
    shift, initial = vector("bias_hh", bias_hh, H_out), vector("h_0", h_0, H_out)
    return rows, turned, shift, initial, matrix("states", states, (L, H_out))


def _weighted(symbol: str, t: int) -> Content:
    """Write ``x_t W_ih^T + b_ih`` or ``h_t W_hh^T + b_hh``, each symbol in its ink."""
    index = "ih" if symbol == "x" else "hh"
    weight, bias = f"W_{{{index}}}^{{⊤}}", f"b_{{{index}}}"
    return [(f"{symbol}_{{{t}}}", symbol), (weight, f"w{index}"), (" + ", None), (bias, "b")]
