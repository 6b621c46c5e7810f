"""Drawings of the architecture: folded, unrolled, the five kinds of problem, influence."""

from collections.abc import Sequence
from typing import Any

from .svg import (
    BODY,
    SMALL,
    WIDTH,
    Figure,
    arrow,
    box,
    element,
    signed,
    text,
    text_width,
)
from .values import one_of, vector, whole

__all__ = [
    "KINDS",
    "folded",
    "influence",
    "sequence_problem",
    "sequence_problems",
    "unrolled",
]

KINDS = ("one-to-one", "one-to-many", "many-to-one", "encoder-decoder", "in-step")
"""The five kinds of sequence problem."""

_MOST_STEPS = 8


def folded() -> Figure:
    """Draw the recurrent cell with the loop that its hidden state takes.

    Returns
    -------
    Figure
        The drawing.

    Examples
    --------
    >>> folded().title
    'The recurrent cell, folded'
    """
    middle, top, bottom = 142.0, 64.0, 112.0
    parts = [
        box(middle - 42, top, 84, bottom - top, fill=0.06),
        text(middle, (top + bottom) / 2 + 5, "tanh", token="act", kind="math"),
        arrow([(middle, 152), (middle, bottom + 2)], token="x"),
        text(middle, 170, "x_{t}", token="x", kind="math"),
        text(middle - 8, 138, "W_{ih}", token="wih", anchor="end", kind="math"),
        arrow([(middle, top), (middle, 30)], token="h"),
        text(middle, 20, "h_{t}", token="h", kind="math"),
        # The loop leaves the state above the cell and comes back into its side.
        arrow([(middle, 46), (middle + 92, 46), (middle + 92, 88), (middle + 44, 88)], token="h"),
        element("circle", cx=middle, cy=46, r=2.5, fill="currentColor", class_="u-h"),
        text(middle + 100, 60, "h_{t-1}", token="h", anchor="start", kind="math"),
        text(middle + 100, 84, "one step later", anchor="start", kind="dim"),
        text(middle + 68, 107, "W_{hh}", token="whh", kind="math"),
    ]
    return Figure(
        "The recurrent cell, folded",
        "One cell. The input x_t enters from below through W_ih, the hidden state h_t leaves at "
        "the top. A loop leads from h_t back into the side of the cell through W_hh, where it "
        "arrives one time step later as h_(t-1).",
        "".join(parts),
        180,
    )


def unrolled(L: int = 5) -> Figure:
    """Draw the same cell once for each time step.

    Parameters
    ----------
    L : int, default 5
        Time steps, 1 to 8.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If `L` is not an int.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> unrolled(3).title
    'The recurrent cell, unrolled over 3 time steps'
    """
    L = whole("L", L, 1, _MOST_STEPS)
    pitch = min(76.0, (WIDTH - 2 * 38) / L)
    side = min(42.0, pitch - 16)
    start = (WIDTH - pitch * L) / 2
    top, bottom = 50.0, 50.0 + 40
    middle = (top + bottom) / 2
    parts = [text(start - 16, middle + 5, "h_{0}", anchor="end", token="h", kind="math")]
    for t in range(1, L + 1):
        x = start + pitch * (t - 0.5)
        parts += [
            arrow([(x - pitch + side / 2 + 1 if t > 1 else start - 12, middle),
                   (x - side / 2 - 2, middle)], token="h"),
            box(x - side / 2, top, side, bottom - top, fill=0.06),
            arrow([(x, top), (x, 28)], token="h"),
            text(x, 20, f"h_{{{t}}}", token="h", kind="math"),
            arrow([(x, bottom + 32), (x, bottom + 2)], token="x"),
            text(x, bottom + 48, f"x_{{{t}}}", token="x", kind="math"),
        ]  # fmt: skip
        if side >= 38:
            parts.append(text(x, middle + 5, "tanh", token="act", kind="math"))
    end = start + pitch * L
    parts.append(arrow([(end - (pitch - side) / 2 + 1, middle), (end + 12, middle)], token="h"))
    parts.append(text(end + 16, middle + 5, "h_{n}", anchor="start", token="h", kind="math"))
    shared = [("W_{ih}", "wih"), (",  ", None), ("W_{hh}", "whh"), (",  ", None),
              ("b_{ih}", "b"), (",  ", None), ("b_{hh}", "b")]  # fmt: skip
    parts.append(text(WIDTH / 2, bottom + 80, shared, kind="math"))
    parts.append(text(WIDTH / 2, bottom + 98, "the same in every copy", kind="dim"))
    steps = "1 time step" if L == 1 else f"{L} time steps"
    return Figure(
        f"The recurrent cell, unrolled over {steps}",
        f"{L} copies of the cell in a row, one for each time step. h_0 enters the first from the "
        "left; each copy takes its input x_t from below, gives its hidden state h_t at the top "
        f"and hands it to the next copy on its right. The last state, h_{L}, is h_n. "
        "W_ih, W_hh, b_ih and b_hh are the same in every copy.",
        "".join(parts),
        bottom + 108,
    )


def sequence_problem(
    kind: str,
    input_shape: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
) -> Figure:
    """Draw one kind of sequence problem, with the shapes of its input and output.

    Parameters
    ----------
    kind : {"one-to-one", "one-to-many", "many-to-one", "encoder-decoder", "in-step"}
        Which steps have an input, and which an output.
    input_shape, output_shape : sequence of int, optional
        Shapes to write beside them; by default in letters, ``(N, L, H_in)`` and so on.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If a size is not an int.
    ValueError
        If `kind` is none of the five, or a size is less than 1.

    Examples
    --------
    >>> sequence_problem("many-to-one", (3, 5, 10), (3, 2)).title
    'Sequence problem: many-to-one'
    """
    kind = one_of("kind", kind, KINDS)
    shapes = []
    for name, given, letters in (
        ("input_shape", input_shape, _LETTERS[kind][0]),
        ("output_shape", output_shape, _LETTERS[kind][1]),
    ):
        sizes = letters if given is None else tuple(whole(name, size) for size in given)
        shapes.append("(" + ", ".join(map(str, sizes)) + ("," if len(sizes) == 1 else "") + ")")
    pitch = 46.0
    columns = len(_STEPS[kind][0])
    x = 112 + (WIDTH - 112 - pitch * columns) / 2
    y = 8.0
    parts = [_panel(kind, x, y, pitch)]
    for row, name, shape in ((0, "answer", shapes[1]), (1, "state", ""), (2, "input", shapes[0])):
        if kind == "one-to-one" and row == 1:
            name = "layers"
        at = y + _ROW * row + (17 if not shape else 10)
        parts.append(text(4, at, name, anchor="start"))
        if shape:
            parts.append(text(4, at + 16, shape, anchor="start", kind="dim"))
    return Figure(
        f"Sequence problem: {kind}",
        f"{_PROSE[kind]} Input {shapes[0]}, answer {shapes[1]}.",
        "".join(parts),
        y + 2 * _ROW + _BOX_HEIGHT + 8,
    )


def sequence_problems() -> Figure:
    """Draw the five kinds of sequence problem side by side.

    Returns
    -------
    Figure
        The drawing.

    Examples
    --------
    >>> sequence_problems().title
    'Five kinds of sequence problem'
    """
    pitch, y = 38.0, 6.0
    height = 2 * _ROW + _BOX_HEIGHT
    parts = []
    for kinds in (KINDS[:3], KINDS[3:]):
        widths = [pitch * len(_STEPS[kind][0]) for kind in kinds]
        # A short panel is at least as wide as its name.
        widths = [max(w, text_width(k, BODY)) for w, k in zip(widths, kinds, strict=True)]
        space = (WIDTH - sum(widths)) / len(kinds)
        x = space / 2
        for kind, width in zip(kinds, widths, strict=True):
            own = pitch * len(_STEPS[kind][0])
            parts.append(_panel(kind, x + (width - own) / 2, y, pitch))
            parts.append(text(x + width / 2, y + height + 22, kind))
            x += width + space
        y += height + 48
    return Figure(
        "Five kinds of sequence problem",
        " ".join(f"{kind.capitalize()}: {_PROSE[kind]}" for kind in KINDS),
        "".join(parts),
        y - 14,
    )


def influence(
    tokens: Sequence[str], values: Any, token: str = "h", digits: int = 2, caption: str = ""
) -> Figure:
    """Draw the words of a sentence, each shaded by a measured number that is written below it.

    Parameters
    ----------
    tokens : sequence of str
        The words.
    values : array_like
        One number for each.
    token : str, default "h"
        The ink of the shading.
    digits : int, default 2
        Decimals of the numbers.
    caption : str, default ""
        A line under the drawing: what was measured.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If a word is not a string, or a value not a number.
    ValueError
        If there are not as many values as words.

    Examples
    --------
    >>> influence(["a", "dog"], [0.1, 0.9]).description
    'The words with their numbers: a 0.10, dog 0.90. The largest is dog.'
    """
    for word in tokens:
        if not isinstance(word, str):
            raise TypeError(f"tokens should be str, got {type(word).__name__}")
    numbers = vector("values", values, len(tokens))
    top = max(map(abs, numbers)) or 1.0
    x, y, height = 4.0, 6.0, 26.0
    parts = []
    for word, value in zip(tokens, numbers, strict=True):
        label = signed(value, digits)
        width = max(text_width(word, BODY), text_width(label, SMALL)) + 10
        if x + width > WIDTH - 4:
            x, y = 4.0, y + 58
        strength = abs(value) / top
        # A negative number is a hollow word, as it is a hollow cell in a matrix.
        parts.append(
            box(
                x,
                y,
                width,
                height,
                token=token,
                fill=0.0 if value < 0 else 0.34 * strength,
                stroke=0.15 + 0.85 * strength if value < 0 else 0.3,
            )
        )
        parts.append(text(x + width / 2, y + 17.5, word))
        parts.append(text(x + width / 2, y + 42, label, kind="dim"))
        x += width + 4
    listed = ", ".join(
        f"{word} {signed(value, digits)}" for word, value in zip(tokens, numbers, strict=True)
    )
    strongest = tokens[max(range(len(numbers)), key=lambda index: abs(numbers[index]))]
    return Figure(
        "Influence of each word",
        f"The words with their numbers: {listed}. The largest is {strongest}.",
        "".join(parts),
        y + 52,
        caption=caption,
    )


# For each kind: the steps with an input, and the steps with an output.
_STEPS: dict[str, tuple[tuple[bool, ...], tuple[bool, ...]]] = {
    "one-to-one": ((True,), (True,)),
    "one-to-many": ((True, False, False), (True, True, True)),
    "many-to-one": ((True, True, True), (False, False, True)),
    "encoder-decoder": ((True, True, False, False), (False, False, True, True)),
    "in-step": ((True, True, True), (True, True, True)),
}
_LETTERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "one-to-one": (("N", "H_in"), ("N", "features")),
    "one-to-many": (("N", "H_in"), ("N", "L", "features")),
    "many-to-one": (("N", "L", "H_in"), ("N", "features")),
    "encoder-decoder": (("N", "L", "H_in"), ("N", "M", "features")),
    "in-step": (("N", "L", "H_in"), ("N", "L", "features")),
}
_PROSE: dict[str, str] = {
    "one-to-one": "one input, one answer, and no state: a network without recurrence.",
    "one-to-many": "one input at the first step; every step gives an answer.",
    "many-to-one": "an input at every step; one answer after the last.",
    "encoder-decoder": "an encoder reads the whole input; then a decoder, a second network that "
    "begins with the encoder's last state, writes the answer.",
    "in-step": "an input and an answer at every step.",
}
_ROW = 56.0
_BOX_WIDTH, _BOX_HEIGHT = 28.0, 28.0


def _panel(kind: str, left: float, top: float, pitch: float) -> str:
    """Draw the boxes and arrows of one kind."""
    inputs, outputs = _STEPS[kind]
    parts = []
    middle = top + _ROW
    for t, (has_input, has_output) in enumerate(zip(inputs, outputs, strict=True)):
        x = left + pitch * (t + 0.5)
        edge = x - _BOX_WIDTH / 2
        recurrent = kind != "one-to-one"
        parts.append(
            box(
                edge,
                middle,
                _BOX_WIDTH,
                _BOX_HEIGHT,
                token="h" if recurrent else None,
                fill=0.12,
            )
        )
        if recurrent:
            name = f"h_{{{t + 1}}}"
            parts.append(text(x, middle + 18.5, name, token="h", kind="math"))
        if has_input:
            low = top + 2 * _ROW
            parts.append(box(edge, low, _BOX_WIDTH, _BOX_HEIGHT, token="x", fill=0.12))
            name = f"x_{{{t + 1}}}" if recurrent and sum(inputs) > 1 else "x"
            parts.append(text(x, low + 18.5, name, token="x", kind="math"))
            parts.append(arrow([(x, low - 1), (x, middle + _BOX_HEIGHT + 2)], token="x"))
        if has_output:
            parts.append(box(edge, top, _BOX_WIDTH, _BOX_HEIGHT, fill=0.04))
            index = t + 1 - outputs.index(True)
            name = f"y_{{{index}}}" if sum(outputs) > 1 else "y"
            parts.append(text(x, top + 18.5, name, kind="math"))
            parts.append(arrow([(x, middle - 1), (x, top + _BOX_HEIGHT + 2)]))
        if t:
            y = middle + _BOX_HEIGHT / 2
            start = edge - pitch + _BOX_WIDTH
            parts.append(arrow([(start + 1, y), (edge - 2, y)], token="h"))
    if kind == "encoder-decoder":
        half = pitch * sum(inputs) / 2
        parts.append(text(left + half, middle - 14, "encoder", size=SMALL))
        parts.append(text(left + 3 * half, middle + _BOX_HEIGHT + 22, "decoder", size=SMALL))
        for x in (left, left + 2 * half):
            panel = box(x + 1.5, middle - 7, 2 * half - 3, _BOX_HEIGHT + 14, fill=0.05, stroke=0.25)
            parts.insert(0, panel)
    return "".join(parts)
