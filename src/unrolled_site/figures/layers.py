"""Drawings of a stack of layers, and of what it puts out."""

from typing import Any, Literal

from unrolled.shapes import parameter_name

from .blocks import outline
from .svg import SMALL, WIDTH, Figure, arrow, box, line, text
from .values import whole

__all__ = ["layer_stack", "output_and_states"]

_MOST_LAYERS = 4
_MARGIN = 65.0  # on both sides of the grid
_ROW, _CELL = 26.0, 20.0  # heights of a row of states and of one state
_WAYS = ("forward", "reverse")
_STRIP = 22.0  # the height of what goes from layer to layer
_BOX = 46.0  # the height of a layer
_HALF = 118.0  # the width of one direction


def layer_stack(num_layers: int, bidirectional: bool = False, dropout: bool = False) -> Figure:
    """Draw the layers of a module: what enters each, and which part of ``h_n`` each makes.

    Parameters
    ----------
    num_layers : int
        Layers, 1 to 4.
    bidirectional : bool, default False
        Whether each layer has two directions.
    dropout : bool, default False
        Whether dropout lies between the layers; after the last there is none.

    Returns
    -------
    Figure
        The drawing: the input enters at the bottom.

    Raises
    ------
    TypeError
        If `num_layers` is not an int, or another argument not a bool.
    ValueError
        If `num_layers` is out of range.

    Notes
    -----
    Source: ``num_layers``, ``dropout`` and ``bidirectional`` in the docstring of `torch.nn.RNN`.

    Examples
    --------
    >>> layer_stack(2).description
    'The input, H_in wide, enters layer 0 at the bottom. Layer 0 makes h_n[0] and puts out its \
states, H_out wide. They go into layer 1. Layer 1 makes h_n[1] and puts out its states, H_out \
wide. That is output.'
    """
    whole("num_layers", num_layers, 1, _MOST_LAYERS)
    _flag("bidirectional", bidirectional)
    _flag("dropout", dropout)
    D = 2 if bidirectional else 1
    columns = [WIDTH / 2 + (d - (D - 1) / 2) * _HALF for d in range(D)]
    width = "2 · H_out" if bidirectional else "H_out"
    dropped = num_layers - 1 if dropout else 0
    y = 4 + (_STRIP + 24 + _BOX + 28) * num_layers + 40 * dropped
    height = y + _STRIP + 4
    edge = WIDTH / 2 + 32
    parts = [
        box(edge - 64, y, 64, _STRIP, token="x", fill=0.16),
        text(WIDTH / 2, y + 15.5, "input"),
        text(edge + 8, y + 15, "H_in", anchor="start", kind="dim"),
    ]
    said = ["The input, H_in wide, enters layer 0 at the bottom."]
    for layer in range(num_layers):
        top = y - 28 - _BOX
        parts += [_enter(y, x, top + _BOX, "h" if layer else "x") for x in columns]
        parts += [_layer(layer, d, x, top, D) for d, x in enumerate(columns)]
        y = top - 24 - _STRIP
        parts += [arrow([(x, top), (x, y + _STRIP + 2)], token="h") for x in columns]
        parts.append(_states(columns, y))
        edge = columns[-1] + _HALF / 2
        parts.append(text(edge + 8, y + 15, width, anchor="start", kind="dim"))
        made = " and ".join(f"h_n[{D * layer + d}]" for d in range(D))
        if bidirectional:
            said.append(
                f"Layer {layer} runs forward and in reverse, makes {made}, and puts out the "
                "states of both directions side by side, 2 · H_out wide."
            )
        else:
            said.append(f"Layer {layer} makes {made} and puts out its states, H_out wide.")
        if layer == num_layers - 1:
            continue
        target = "both directions of " if bidirectional else ""
        if dropout:
            parts.append(arrow([(WIDTH / 2, y), (WIDTH / 2, y - 15)], token="h"))
            parts.append(box(WIDTH / 2 - 42, y - 40, 84, 24, fill=0.06))
            parts.append(text(WIDTH / 2, y - 23.5, "dropout"))
            y -= 40
        way = "through dropout into" if dropout else "into"
        said.append(f"They go {way} {target}layer {layer + 1}.")
    left = columns[0] - _HALF / 2
    parts.append(text(left - 8, y + 15.5, "output", anchor="end", kind="code"))
    said.append(f"That is output{'; no dropout comes after it' if dropout else ''}.")
    name = "1 layer" if num_layers == 1 else f"{num_layers} layers"
    ways = "in two directions" if bidirectional else "in one direction"
    return Figure(f"{name} {ways}", " ".join(said), "".join(parts), height)


def output_and_states(
    L: int, num_layers: int, bidirectional: bool = False, cell_state: bool = False
) -> Figure:
    """Draw the states of all time steps and layers, and which of them PyTorch gives you.

    Parameters
    ----------
    L : int
        Time steps, 1 to 6.
    num_layers : int
        Layers, 1 to 3.
    bidirectional : bool, default False
        Whether each layer has two directions.
    cell_state : bool, default False
        Whether there are cell states, as in an LSTM.

    Returns
    -------
    Figure
        The drawing: time from left to right, layer 0 at the bottom.

    Raises
    ------
    TypeError
        If `L` or `num_layers` is not an int, or another argument not a bool.
    ValueError
        If `L` or `num_layers` is out of range.

    Notes
    -----
    Source: "Outputs" in the docstring of `torch.nn.LSTM`.

    Examples
    --------
    >>> output_and_states(5, 2).description
    'A grid of hidden states: 5 time steps from left to right, 2 layers from bottom to top. output \
holds the hidden states of layer 1 at all time steps. h_n[0] is layer 0 at t = 5; h_n[1] is layer \
1 at t = 5.'
    """
    whole("L", L, 1, 6)
    whole("num_layers", num_layers, 1, 3)
    _flag("bidirectional", bidirectional)
    _flag("cell_state", cell_state)
    D = 2 if bidirectional else 1
    # From top to bottom; both directions of the hidden state make the output.
    kinds = ("h", "c") if cell_state else ("h",)
    pitch = min(50.0, (WIDTH - 2 * _MARGIN) / L)
    left, right = (WIDTH - pitch * L) / 2, (WIDTH + pitch * L) / 2
    panel = (_ROW * D + 10) * len(kinds) - 2
    parts = []
    y = 22.0
    for layer in reversed(range(num_layers)):
        parts.append(box(left - 4, y, right - left + 8, panel, fill=0.04, stroke=0.3))
        for place, kind in enumerate(kinds):
            top = y + 4 + (_ROW * D + 10) * place
            for d in range(D):
                ends = (left - 16, right + 16)
                parts.append(_row(ends, top + _ROW * d + 3, pitch, L, d, kind, D * layer + d))
        parts.append(
            text(left - 12, y + 4 + _ROW / 2 + 4, f"layer {layer}", anchor="end", size=SMALL)
        )
        if layer == num_layers - 1:
            parts.append(outline(left + 1.5, y + 5, right - left - 3, _ROW * D - 2))
            parts.append(text(left - 4, y - 8, "output", anchor="start", kind="code"))
        foot = y + panel
        for t in range(L):
            x = left + pitch * (t + 0.5)
            parts.append(arrow([(x, foot + 22), (x, foot + 2)], token="h" if layer else "x"))
            if not layer:
                parts.append(text(x, foot + 38, f"x_{{{t + 1}}}", token="x", kind="math"))
        y += panel + 24
    steps = "1 time step" if L == 1 else f"{L} time steps from left to right"
    layers = "1 layer" if num_layers == 1 else f"{num_layers} layers from bottom to top"
    states = "hidden states and cell states" if cell_state else "hidden states"
    ways = ", each forward and in reverse" if bidirectional else ""
    side = ", both directions side by side" if bidirectional else ""
    made = [
        f"{kind}_n[{D * layer + d}] is layer {layer}"
        + (f", {_WAYS[d]}," if bidirectional else "")
        + f" at t = {1 if d else L}"
        for kind in kinds
        for layer in range(num_layers)
        for d in range(D)
    ]
    said = [
        f"A grid of {states}: {steps}, {layers}{ways}.",
        f"output holds the hidden states of layer {num_layers - 1} at all time steps{side}"
        + (", and no cell states." if cell_state else "."),
        "; ".join(made) + ".",
    ]
    return Figure(
        "What output, h_n and c_n hold" if cell_state else "What output and h_n hold",
        " ".join(said),
        "".join(parts),
        y + 22,
    )


def _row(
    ends: tuple[float, float],
    top: float,
    pitch: float,
    L: int,
    direction: int,
    kind: str,
    index: int,
) -> str:
    """Draw the states of one layer and direction; an arrow leads from the last to its name."""
    parts = []
    width = min(26.0, pitch - 13)
    first, middle = (WIDTH - pitch * (L - 1)) / 2, top + _CELL / 2
    side = -1 if direction else 1
    for t in range(L):
        x = first + pitch * t
        last = t == (0 if direction else L - 1)
        fill, stroke = (0.45, 1.0) if last else (0.08, 0.5)
        parts.append(box(x - width / 2, top, width, _CELL, token=kind, fill=fill, stroke=stroke))
        ink = None if last else kind
        parts.append(text(x, middle + 4.5, kind, token=ink, size=14, kind="math"))
        end = ends[not direction] if last else x + side * (pitch - width / 2 - 1)
        parts.append(arrow([(x + side * width / 2, middle), (end, middle)], token=kind))
    parts.append(
        text(
            ends[not direction] + side * 4,
            middle + 4,
            f"{kind}_n[{index}]",
            anchor="end" if direction else "start",
            token=kind,
            kind="code",
        )
    )
    return "".join(parts)


def _layer(layer: int, direction: int, x: float, top: float, D: int) -> str:
    """Draw one layer and direction, and the part of ``h_n`` that it makes."""
    side = -1 if direction < D - 1 else 1
    edge, middle = x + side * (_HALF / 2 - 5), top + _BOX / 2
    name = f"layer {layer}" + (f", {_WAYS[direction]}" if D == 2 else "")
    suffix = parameter_name("", layer, direction)
    anchor: Literal["start", "end"] = "start" if side > 0 else "end"
    index = f"h_n[{D * layer + direction}]"
    return "".join(
        (
            box(x - _HALF / 2 + 5, top, _HALF - 10, _BOX, fill=0.06),
            text(x, top + 19, name, size=SMALL if D == 2 else None),
            text(x, top + 36, suffix, kind="code"),
            arrow([(edge, middle), (edge + side * 15, middle)], token="h"),
            text(edge + side * 19, middle + 4, index, anchor=anchor, token="h", kind="code"),
        )
    )


def _states(columns: list[float], y: float) -> str:
    """Draw what a layer puts out: the states of its directions, side by side."""
    left, width = columns[0] - _HALF / 2, _HALF * len(columns)
    parts = [box(left, y, width, _STRIP, token="h", fill=0.16)]
    if len(columns) == 1:
        parts.append(text(columns[0], y + 15, "h_{1} … h_{L}", token="h", kind="math"))
        return parts[0] + parts[1]
    parts.append(line([(left + _HALF, y), (left + _HALF, y + _STRIP)], token="h"))
    parts += [text(x, y + 15.5, way) for x, way in zip(columns, _WAYS, strict=True)]
    return "".join(parts)


def _enter(y: float, x: float, foot: float, token: str) -> str:
    """Draw an arrow from the middle of what lies at `y` up to a box above it."""
    points = [(WIDTH / 2, y), (WIDTH / 2, y - 11), (x, y - 11)] if x != WIDTH / 2 else [(x, y)]
    return arrow([*points, (x, foot + 2)], token=token)


def _flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} should be bool, got {type(value).__name__}")
