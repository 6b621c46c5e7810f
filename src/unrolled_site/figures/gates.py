"""Drawings of one step of an LSTM and of a GRU: what each gate multiplies."""

import re

from .palette import PALETTE
from .svg import (
    LINE,
    SYMBOL,
    WIDTH,
    Content,
    Figure,
    arrow,
    box,
    css_class,
    element,
    group,
    line,
    number,
    text,
)
from .values import one_of

__all__ = ["gate_by_gate", "gru_cell", "lstm_cell"]

_RADIUS = 9.0  # of a node
_GATE_WIDTH, _GATE_HEIGHT = 46.0, 28.0
_INPUTS: Content = [
    ("x_{t}", "x"), (" ", None), ("W_{ih}^{⊤}", "wih"), (" + ", None), ("b_{ih}", "b"),
]  # fmt: skip
_STATES: Content = [
    ("h_{t-1}", "h"), (" ", None), ("W_{hh}^{⊤}", "whh"), (" + ", None), ("b_{hh}", "b"),
]  # fmt: skip


def lstm_cell() -> Figure:
    r"""Draw one step of an LSTM, with the cell state as a conveyor along the top.

    The gates are :math:`i_t, f_t, o_t = \sigma(\cdot)` and :math:`g_t = \tanh(\cdot)` of their
    blocks of :math:`x_t W_{ih}^T + b_{ih} + h_{t-1} W_{hh}^T + b_{hh}`; then
    :math:`c_t = f_t c_{t-1} + i_t g_t` and :math:`h_t = o_t \tanh(c_t)`, element by element.

    Returns
    -------
    Figure
        The drawing.

    Notes
    -----
    Source: the docstring of `torch.nn.LSTM`.

    Examples
    --------
    >>> lstm_cell().title
    'One step of an LSTM'
    """
    left, right, top, bottom = 46.0, 324.0, 22.0, 274.0
    bar, out = 222.0, 294.0
    f = _LSTM_GATES[0][0]
    state = bar + 22  # the height where the hidden state comes in and goes out
    parts = [
        box(left, top, right - left, bottom - top, fill=0.04, stroke=0.5),
        *(markup for _, markup in _lstm_top(bar, state)),
        # The way in: one sum, of which each gate has its own block.
        box(left + 8, bar, out - left - 18, 44, fill=0.06),
        arrow([(4, state), (left + 7, state)], token="h"),
        text(21, state - 9, "h_{t-1}", token="h", kind="math"),
        arrow([(f, bottom + 26), (f, bar + 46)], token="x"),
        text(f, bottom + 42, "x_{t}", token="x", kind="math"),
    ]
    centre = (left + 8 + out - 10) / 2
    parts.append(text(centre, bar + 18, [*_INPUTS, (" + ", None), *_STATES], kind="math"))
    parts.append(text(centre, bar + 37, _blocks("ifgo"), kind="math"))
    parts.append(_note(f + 24, bottom + 41))
    return Figure(
        "One step of an LSTM",
        "The cell state runs along the top like a conveyor: c_(t-1) comes in from the left, is "
        "multiplied by f_t, then i_t times g_t is added, and c_t leaves at the right. Below are "
        "the four gates: f_t, i_t and o_t are the sigmoid, g_t the tanh, of their own blocks of "
        "one sum, x_t W_ih transposed + b_ih + h_(t-1) W_hh transposed + b_hh. x_t enters the sum "
        "from below, h_(t-1) from the left. From c_t a branch goes through tanh and is multiplied "
        "by o_t: that is h_t, which leaves at the right. All products and sums of the gates are "
        "element by element.",
        "".join(parts),
        bottom + 50,
    )


def gru_cell() -> Figure:
    r"""Draw one step of a GRU as PyTorch computes it.

    :math:`r_t` and :math:`z_t` are :math:`\sigma` of their blocks of
    :math:`x_t W_{ih}^T + b_{ih} + h_{t-1} W_{hh}^T + b_{hh}`;
    :math:`n_t = \tanh(x_t W_{in}^T + b_{in} + r_t (h_{t-1} W_{hn}^T + b_{hn}))` with
    :math:`r_t` after the product; and :math:`h_t = (1 - z_t) n_t + z_t h_{t-1}`.

    Returns
    -------
    Figure
        The drawing.

    Notes
    -----
    Source: the docstring of `torch.nn.GRU`.

    Examples
    --------
    >>> gru_cell().title
    'One step of a GRU'
    """
    left, right, top, bottom = 42.0, 326.0, 22.0, 353.0
    belt, bar, foot = 54.0, 246.0, 311.0
    branch, (z, r, hidden, n) = 52.0, _GRU_COLUMNS
    states, inputs = foot + 17, foot + 29  # heights where h_{t-1} and x_t are handed out
    parts = [
        box(left, top, right - left, bottom - top, fill=0.04, stroke=0.5),
        *(markup for _, markup in _gru_top(bar)),
        # The way in: the state passes under the wire of the input, once.
        _dot(branch, belt, "h"),
        line([(branch, belt), (branch, states), (z - 5, states)], token="h"),
        line([(z + 5, states), (r + 2, states)], token="h"),
        arrow([(r, states), (r, foot + 2)], token="h"),
        _dot(r, states, "h"),
        arrow([(r, states), (hidden, states), (hidden, foot + 2)], token="h"),
        arrow([(z, bottom + 26), (z, foot + 2)], token="x"),
        _dot(z, inputs, "x"),
        arrow([(z, inputs), (n, inputs), (n, foot + 2)], token="x"),
        text(z, bottom + 42, "x_{t}", token="x", kind="math"),
        _note(z + 24, bottom + 41),
    ]
    old: Content = [("h_{t-1}", "h"), (" ", None), ("W_{hn}^{⊤}", "whh")]
    new: Content = [("x_{t}", "x"), (" ", None), ("W_{in}^{⊤}", "wih")]
    both = (z + r) / 2
    for x, width, lines in (
        (both, 117.0, ([*_INPUTS, (" +", None)], _STATES, _blocks("rz"))),
        (hidden, 72.0, (old, [("+ ", None), ("b_{hn}", "b")], _blocks("n"))),
        (n, 60.0, (new, [("+ ", None), ("b_{in}", "b")], _blocks("n"))),
    ):
        parts.append(box(x - width / 2, bar, width, foot - bar, fill=0.06))
        for row, content in enumerate(lines):
            parts.append(text(x, bar + 18 + 19.5 * row, content, kind="math"))
    return Figure(
        "One step of a GRU",
        "The hidden state runs along the top: h_(t-1) comes in from the left, is multiplied by "
        "z_t, then (1 - z_t) times n_t is added, and h_t leaves at the right. z_t and r_t are the "
        "sigmoid of their own blocks of one sum, x_t W_ih transposed + b_ih + h_(t-1) W_hh "
        "transposed + b_hh. The candidate n_t keeps its two blocks apart: r_t multiplies h_(t-1) "
        "W_hn transposed + b_hn, after the product and with the bias inside; then x_t W_in "
        "transposed + b_in is added, and tanh of that is n_t. x_t enters from below; h_(t-1) "
        "branches off from the top and goes into the sum and into the block of n. The products "
        "and sums of the gates are element by element.",
        "".join(parts),
        bottom + 50,
    )


def gate_by_gate(kind: str) -> Figure:
    """Draw one step of an LSTM or a GRU four times, each time with one part lit and explained.

    Parameters
    ----------
    kind : {"LSTM", "GRU"}
        The module.

    Returns
    -------
    Figure
        The drawing: a column, and in a wide layout two rows of two.

    Raises
    ------
    ValueError
        If `kind` is neither.

    Examples
    --------
    >>> gate_by_gate("GRU").description.split(". ")[0]
    'r says how much of the old state the candidate sees'
    """
    kind = one_of("kind", kind, tuple(_SENTENCES))
    sentences = _SENTENCES[kind]
    height = 282.0 if kind == "LSTM" else 306.0
    panels = [_lit(kind, part, sentence) for part, sentence in sentences.items()]
    title = f"One step of {'an LSTM' if kind == 'LSTM' else 'a GRU'}, gate by gate"
    description = " ".join(sentences.values()) + (
        " Four small copies of the drawing of the step; in each the part that its sentence is "
        "about is lit, the rest is grey."
    )
    column = [
        group(panel, transform=f"translate(0 {number(height * place)})")
        for place, panel in enumerate(panels)
    ]
    grid = [
        group(panel, transform=f"translate({380 * (place % 2)} {number(height * (place // 2))})")
        for place, panel in enumerate(panels)
    ]
    wide = Figure(title, description, "".join(grid), 2 * height - 6, 740)
    return Figure(title, description, "".join(column), 4 * height - 6, wide=wide)


_LSTM_GATES = (
    (80.0, "gf", "σ"), (138.0, "gi", "σ"), (196.0, "gg", "tanh"), (254.0, "go", "σ")
)  # fmt: skip
_GRU_COLUMNS = (91.0, 149.0, 219.0, 290.0)  # z, r, what r multiplies, and n
_SENTENCES = {
    "LSTM": {
        "f": "f says how much of the old cell state stays.",
        "i": "i says how much of the candidate is written.",
        "g": "g is the candidate: what could be written.",
        "o": "o says how much of the cell state shows in h.",
    },
    "GRU": {
        "r": "r says how much of the old state the candidate sees.",
        "n": "n is the candidate: what the new state could be.",
        "z": "z says how much of the old state stays.",
        "h": "The new state: z of the old one and 1 − z of n.",
    },
}


def _lit(kind: str, part: str, sentence: str) -> str:
    """Draw a small copy in which only what belongs to one part has colour."""
    bar = 216.0 if kind == "LSTM" else 240.0
    top = _lstm_top(bar, 190.0) if kind == "LSTM" else _gru_top(bar)
    lit = "".join(markup for parts, markup in top if part in parts)
    rest = "".join(markup for parts, markup in top if part not in parts) + _feet(kind, bar)
    grey = re.sub(r' class="u-\w+"', "", re.sub(r'class="u-\w+ ', 'class="', rest))
    words: Content = [(sentence, None)]
    if f"g{part}" in PALETTE:  # the first letter is the name of the gate
        words = [(sentence[0], f"g{part}"), (sentence[1:], None)]
    return (
        box(42, 22, 286, bar + 8, fill=0.03, stroke=0.3)
        + group(grey, opacity=0.45)
        + lit
        + text(WIDTH / 2, bar + 52, words)
    )


def _feet(kind: str, bar: float) -> str:
    """Draw what the gates of a small copy are computed from."""
    x, h, both = ("x_{t}", "x"), ("h_{t-1}", "h"), (" and ", None)
    z, r, hidden, n = _GRU_COLUMNS
    feet: tuple[tuple[float, float, Content], ...] = (
        ((167.0, 220.0, [x, both, h]),)
        if kind == "LSTM"
        else (((z + r) / 2, 106.0, [x, both, h]), (hidden, 52.0, [h]), (n, 40.0, [x]))
    )
    return "".join(
        box(middle - width / 2, bar, width, 24, fill=0.06)
        + text(middle, bar + 16, content, kind="math")
        for middle, width, content in feet
    )


def _lstm_top(bar: float, state: float) -> list[tuple[str, str]]:
    """Draw an LSTM from its gates up; each piece with the gates that it belongs to."""
    left, right, belt, product, gates = 46.0, 324.0, 54.0, 104.0, 166.0
    (f, i, g, o), out = (x for x, _, _ in _LSTM_GATES), 294.0
    middle = (i + g) / 2
    after = 130.0  # the height where o_t meets tanh(c_t)
    pieces = [
        ("", _belt(left, right, belt, "c")),
        ("f", line([(4, belt), (f - _RADIUS, belt)], token="c")),
        ("f", line([(f + _RADIUS, belt), (middle - _RADIUS, belt)], token="c")),
        ("", arrow([(middle + _RADIUS, belt), (WIDTH - 4, belt)], token="c")),
        ("f", text(21, belt - 9, "c_{t-1}", token="c", kind="math")),
        ("", text(WIDTH - 19, belt - 9, "c_{t}", token="c", kind="math")),
        ("f", _node(f, belt, "×")),
        ("ig", _node(middle, belt, "+")),
        # The gates, each with its value beside the wire that carries it.
        ("f", arrow([(f, gates), (f, belt + _RADIUS + 1)], token="gf")),
        ("i", arrow([(i, gates), (i, product), (middle - _RADIUS - 1, product)], token="gi")),
        ("g", arrow([(g, gates), (g, product), (middle + _RADIUS + 1, product)], token="gg")),
        ("o", arrow([(o, gates), (o, after), (out - _RADIUS - 1, after)], token="go")),
        ("ig", _node(middle, product, "×")),
        ("ig", arrow([(middle, product - _RADIUS), (middle, belt + _RADIUS + 1)], token="c")),
        ("f", text(f - 7, gates - 18, "f_{t}", token="gf", anchor="end", kind="math")),
        ("i", text(i - 7, gates - 18, "i_{t}", token="gi", anchor="end", kind="math")),
        ("g", text(g + 7, gates - 18, "g_{t}", token="gg", anchor="start", kind="math")),
        ("o", text(o - 7, gates - 18, "o_{t}", token="go", anchor="end", kind="math")),
        # The way out: tanh of the cell state, let through by o.
        ("o", _dot(out, belt, "c")),
        ("o", arrow([(out, belt), (out, 80)], token="c")),
        ("o", box(out - 22, 81, 44, 24, fill=0.06)),
        ("o", text(out, 98, "tanh", token="act", kind="math")),
        ("o", arrow([(out, 105), (out, after - _RADIUS - 1)])),
        ("o", _node(out, after, "×")),
        ("o", arrow([(out, after + _RADIUS), (out, state), (WIDTH - 4, state)], token="h")),
        ("o", text(WIDTH - 19, state - 9, "h_{t}", token="h", kind="math")),
    ]
    for x, token, activation in _LSTM_GATES:
        pieces.append((token[1], arrow([(x, bar), (x, gates + _GATE_HEIGHT + 1)], token=token)))
        pieces.append((token[1], _gate(x, gates, activation, token)))
    return pieces


def _gru_top(bar: float) -> list[tuple[str, str]]:
    """Draw a GRU from its gates up; each piece with the parts that it belongs to."""
    left, right, belt, product, gates = 42.0, 326.0, 54.0, 100.0, 202.0
    candidate, after = 126.0, 184.0  # heights of n's tanh and of r's product
    (z, r, hidden, n), merge = _GRU_COLUMNS, 230.0
    pieces = [
        ("", _belt(left, right, belt, "h")),
        ("zh", line([(4, belt), (z - _RADIUS, belt)], token="h")),
        ("zh", line([(z + _RADIUS, belt), (merge - _RADIUS, belt)], token="h")),
        ("h", arrow([(merge + _RADIUS, belt), (WIDTH - 4, belt)], token="h")),
        ("zh", text(20, belt - 9, "h_{t-1}", token="h", kind="math")),
        ("h", text(WIDTH - 16, belt - 9, "h_{t}", token="h", kind="math")),
        ("zh", _node(z, belt, "×")),
        ("h", _node(merge, belt, "+")),
        # z keeps the old state, 1 - z lets the candidate in.
        ("zh", arrow([(z, gates), (z, belt + _RADIUS + 1)], token="gz")),
        ("zh", text(z + 7, gates - 18, "z_{t}", token="gz", anchor="start", kind="math")),
        ("h", _dot(z, product, "gz")),
        ("h", arrow([(z, product), (120, product)], token="gz")),
        ("h", box(121, product - 12, 34, 24, fill=0.06)),
        ("h", text(138, product + 5, "1 −", kind="math")),
        ("h", arrow([(155, product), (merge - _RADIUS - 1, product)], token="gz")),
        ("h", text(185, product - 7, "1 − z_{t}", token="gz", kind="math")),
        ("nh", arrow([(n, candidate), (n, product), (merge + _RADIUS + 1, product)], token="gn")),
        ("nh", text(n - 20, product - 7, "n_{t}", token="gn", kind="math")),
        ("h", _node(merge, product, "×")),
        ("h", arrow([(merge, product - _RADIUS), (merge, belt + _RADIUS + 1)], token="h")),
        # r decides how much of the old state the candidate sees, after the product.
        ("r", arrow([(r, gates), (r, after), (hidden - _RADIUS - 1, after)], token="gr")),
        ("r", text(r + 22, after - 7, "r_{t}", token="gr", kind="math")),
        ("rn", arrow([(hidden, bar), (hidden, after + _RADIUS + 1)], token="gn")),
        ("rn", _node(hidden, after, "×")),
        ("n", arrow([(hidden + _RADIUS, after), (n - _RADIUS - 1, after)], token="gn")),
        ("n", arrow([(n, bar), (n, after + _RADIUS + 1)], token="gn")),
        ("n", _node(n, after, "+")),
        ("n", arrow([(n, after - _RADIUS), (n, candidate + _GATE_HEIGHT + 1)], token="gn")),
        ("n", _gate(n, candidate, "tanh", "gn")),
    ]
    for x, token in ((z, "gz"), (r, "gr")):
        pieces.append((token[1], arrow([(x, bar), (x, gates + _GATE_HEIGHT + 1)], token=token)))
        pieces.append((token[1], _gate(x, gates, "σ", token)))
    return pieces


def _blocks(gates: str) -> list[tuple[str, str | None]]:
    """Name the blocks of rows that a sum consists of."""
    runs: list[tuple[str, str | None]] = [("blocks " if len(gates) > 1 else "block ", None)]
    for place, name in enumerate(gates):
        runs += [(",  " if place else " ", None), (name, f"g{name}")]
    return runs


def _gate(x: float, y: float, activation: str, token: str) -> str:
    """Draw a gate: its activation in a box of its colour, centred at `x`."""
    return box(x - _GATE_WIDTH / 2, y, _GATE_WIDTH, _GATE_HEIGHT, token=token, fill=0.16) + text(
        x, y + 19, activation, token="act", kind="math"
    )


def _node(x: float, y: float, sign: str) -> str:
    """Draw an operation on elements: a sign in a circle."""
    circle = element(
        "circle",
        cx=x,
        cy=y,
        r=_RADIUS,
        fill="currentColor",
        fill_opacity=0.06,
        stroke="currentColor",
        stroke_width=LINE,
    )
    return circle + text(x, y + 5.2, sign, size=SYMBOL)


def _dot(x: float, y: float, token: str) -> str:
    """Draw the place where a wire branches."""
    return element("circle", cx=x, cy=y, r=2.5, fill="currentColor", class_=css_class(token))


def _belt(left: float, right: float, y: float, token: str) -> str:
    """Draw the conveyor behind the wire of the state."""
    return box(left, y - 13, right - left, 26, token=token, fill=0.1, stroke=0.0)


def _note(x: float, y: float) -> str:
    """Say what the signs mean."""
    return text(x, y, "σ: sigmoid;  × and +: element by element", anchor="start", kind="dim")
