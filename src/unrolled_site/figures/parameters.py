"""Drawings of the parameters: their names, their shapes, and the numbers they begin with."""

import math
from typing import Any

from unrolled.shapes import (
    GATES,
    layer_input_size,
    parameter_name,
    parameter_shapes,
    parse_parameter_name,
    real_hidden_size,
)

from .blocks import plain_block
from .svg import BODY, SMALL, WIDTH, Figure, arrow, box, line, signed, text, text_width
from .values import flat, vector, whole

__all__ = ["gate_sizes", "parameter_blocks", "parameter_loops", "uniform_draw"]

_KINDS: dict[str, tuple[str, str | None]] = {
    "weight_ih": ("W_{ih}", "wih"),
    "weight_hh": ("W_{hh}", "whh"),
    "bias_ih": ("b_{ih}", "b"),
    "bias_hh": ("b_{hh}", "b"),
    "weight_hr": ("W_{hr}", None),
}
_GATE_TOKENS = {"h": "h", **{gate: f"g{gate}" for gate in "ifgorzn"}}


def parameter_loops(
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> Figure:
    """Draw the two loops of ``nn.RNNBase.__init__``: a box for each layer and direction.

    Parameters
    ----------
    mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
        As in `unrolled.shapes.parameter_shapes`.

    Returns
    -------
    Figure
        The drawing: layer 0 at the bottom, where the input enters.

    Raises
    ------
    TypeError, ValueError
        For what `unrolled.shapes.parameter_shapes` refuses.

    Examples
    --------
    >>> figure = parameter_loops("LSTM", 10, 20, num_layers=2, bidirectional=True)
    >>> "Layer 1, forward: weight_ih_l1 (80, 40)" in figure.description
    True
    """
    boxes = _by_layer(
        parameter_shapes(mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size),
        num_layers,
    )
    directions = 2 if bidirectional else 1
    lines = len(boxes[0][0])
    width, between = 172.0, 8.0
    left = (WIDTH - directions * width - (directions - 1) * between) / 2
    height = 32 + 17.0 * lines
    pitch = height + 44
    parts, described = [], []
    for direction in range(directions):
        x = left + direction * (width + between) + width / 2
        name = "direction = 0, forward" if direction == 0 else "direction = 1, reverse"
        parts.append(text(x, 14, name, kind="dim"))
    for layer in range(num_layers):
        y = 26 + pitch * (num_layers - 1 - layer)
        for direction, shapes in enumerate(boxes[layer]):
            x = left + direction * (width + between)
            parts.append(box(x, y, width, height, fill=0.04, stroke=0.6))
            suffix = parameter_name("", layer, direction)
            parts.append(text(x + 9, y + 19, f"layer = {layer}", anchor="start", size=SMALL))
            parts.append(text(x + width - 9, y + 19, suffix, anchor="end", kind="code"))
            for row, (kind, shape) in enumerate(shapes.items()):
                base = y + 40 + 17 * row
                token = _KINDS[kind][1]
                parts.append(text(x + 9, base, kind, anchor="start", token=token, kind="code"))
                parts.append(text(x + width - 9, base, str(shape), anchor="end", size=SMALL))
            listed = ", ".join(f"{kind}{suffix} {shape}" for kind, shape in shapes.items())
            way = "reverse" if direction else "forward"
            described.append(f"Layer {layer}, {way}: {listed}.")
        size = layer_input_size(layer, input_size, hidden_size, bidirectional, proj_size)
        if layer == 0:
            source = "input_size"
        else:
            factor = "2 · " if bidirectional else ""
            source = f"{factor}{real_hidden_size(hidden_size, proj_size)}"
        foot = y + height
        label = f"layer_input_size = {size}"
        for direction in range(directions):
            # The label is between the arrows.
            x = left + direction * (2 * width + between - 32) + 16
            parts.append(arrow([(x, foot + 32), (x, foot + 3)], token="x" if layer == 0 else "h"))
        parts.append(text(left + 26, foot + 19, label, anchor="start", kind="code"))
        parts.append(
            text(
                left + 26 + text_width(label, SMALL, "code") + 6,
                foot + 19,
                f"= {source}" if layer else f"({source})",
                anchor="start",
                kind="dim",
            )
        )
    return Figure(
        "The two loops that create the parameters",
        f"{mode}: one box for each layer and direction, in the order of creation. "
        + " ".join(described),
        "".join(parts),
        26 + pitch * num_layers - 4,
    )


def gate_sizes(hidden_size: int) -> Figure:
    """Draw the gates that each mode stacks in one weight, and the rows they make.

    Parameters
    ----------
    hidden_size : int
        Rows of one gate.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If `hidden_size` is not an int.
    ValueError
        If it is less than 1.

    Examples
    --------
    >>> gate_sizes(20).description
    'Gates of hidden_size = 20 rows, stacked: RNN_TANH h, gate_size 20; \
RNN_RELU h, gate_size 20; GRU r, z, n, gate_size 60; LSTM i, f, g, o, gate_size 80.'
    """
    whole("hidden_size", hidden_size)
    plural = "" if hidden_size == 1 else "s"
    modes = ("RNN_TANH", "RNN_RELU", "GRU", "LSTM")
    gate, width, pitch = 34.0, 62.0, 84.0
    base = 20 + 4 * gate
    first = (WIDTH - 3 * pitch) / 2 + 6
    parts, described = [], []
    for column, mode in enumerate(modes):
        x = first + column * pitch - width / 2
        gates = GATES[mode]
        top = base - gate * len(gates)
        for row, name in enumerate(gates):
            y, token = top + row * gate, _GATE_TOKENS[name]
            parts.append(box(x, y + 1.5, width, gate - 3, token=token, fill=0.16))
            parts.append(text(x + width / 2, y + 22, name, token=token, kind="math"))
        rows = len(gates) * hidden_size
        parts.append(text(x + width / 2, base + 20, mode, kind="code"))
        parts.append(text(x + width / 2, base + 38, f"{len(gates)} · {hidden_size}", kind="dim"))
        parts.append(text(x + width / 2, base + 57, str(rows), size=BODY + 1))
        described.append(f"{mode} {', '.join(gates)}, gate_size {rows}")
    x = first - width / 2 - 10
    parts.append(
        line([(x + 4, base - gate + 2), (x, base - gate + 2), (x, base - 2), (x + 4, base - 2)])
    )
    parts.append(text(4, base - gate - 22, "hidden_size", anchor="start", kind="code"))
    parts.append(
        text(4, base - gate - 6, f"= {hidden_size} row{plural}", anchor="start", kind="dim")
    )
    parts.append(text(WIDTH / 2, base + 78, "gate_size", kind="code"))
    return Figure(
        "gate_size: the gates stacked in one weight",
        f"Gates of hidden_size = {hidden_size} row{plural}, stacked: {'; '.join(described)}.",
        "".join(parts),
        base + 88,
    )


def parameter_blocks(
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> Figure:
    """Draw every parameter to scale, and list name, shape and count.

    Parameters
    ----------
    mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
        As in `unrolled.shapes.parameter_shapes`.

    Returns
    -------
    Figure
        The drawing: one line of blocks for each layer and direction.

    Raises
    ------
    TypeError, ValueError
        For what `unrolled.shapes.parameter_shapes` refuses.

    Examples
    --------
    >>> parameter_blocks("RNN_TANH", 10, 20).description
    'weight_ih_l0 (20, 10) = 200, weight_hh_l0 (20, 20) = 400, bias_ih_l0 (20,) = 20, \
bias_hh_l0 (20,) = 20; 640 in all.'
    """
    shapes = parameter_shapes(
        mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
    )
    groups = [own for layer in _by_layer(shapes, num_layers) for own in layer]
    between = 22.0
    # One scale for all blocks; the widest line and the highest block must fit.
    tallest = [max(shape[0] for shape in own.values()) for own in groups]
    cell = min(
        9.0,
        170 / max(tallest),
        420 / sum(tallest),
        min(
            (WIDTH - 24 - between * (len(own) - 1)) / sum(_columns(s) for s in own.values())
            for own in groups
        ),
    )
    parts, y = [], 6.0
    for place, own in enumerate(groups):
        widths = [max(_columns(shape) * cell, 3.0) for shape in own.values()]
        x = (WIDTH - sum(widths) - between * (len(widths) - 1)) / 2
        if len(groups) > 1:
            layer, reverse = divmod(place, 2 if bidirectional else 1)
            suffix = parameter_name("", layer, reverse)
            parts.append(text(WIDTH / 2, y + 10, suffix, kind="code"))
            y += 22
        for (kind, shape), width in zip(own.items(), widths, strict=True):
            symbol, token = _KINDS[kind]
            height = shape[0] * cell
            gates = len(GATES[mode]) if kind != "weight_hr" else 1
            dividers = [height * part / gates for part in range(1, gates)]
            top = y + 22 + tallest[place] * cell - height
            parts.append(text(x + width / 2, top - 8, symbol, token=token, kind="math"))
            parts.append(plain_block(x, top, width, height, token, dividers))
            x += width + between
        y += tallest[place] * cell + 34
    y += 16
    for name, shape in shapes.items():
        token = _KINDS[parse_parameter_name(name)[0]][1]
        parts.append(text(24, y, name, anchor="start", token=token, kind="code"))
        parts.append(text(262, y, str(shape), anchor="end", size=SMALL))
        parts.append(text(336, y, f"{math.prod(shape):,}", anchor="end", size=SMALL))
        y += 18
    total = sum(math.prod(shape) for shape in shapes.values())
    parts.append(line([(24, y - 10), (336, y - 10)], width=0.75))
    parts.append(text(24, y + 7, "parameters", anchor="start", size=SMALL))
    parts.append(text(336, y + 7, f"{total:,}", anchor="end"))
    listed = ", ".join(f"{name} {shape} = {math.prod(shape)}" for name, shape in shapes.items())
    return Figure(
        f"The parameters of {mode} to scale",
        f"{listed}; {total} in all.",
        "".join(parts),
        y + 18,
    )


def uniform_draw(values: Any, bound: float, name: str = "weight_hh_l0", bins: int = 20) -> Figure:
    """Draw the histogram of a parameter against the bound of the uniform distribution.

    Parameters
    ----------
    values : array_like
        The numbers of the parameter, of one or two dimensions.
    bound : float
        ``1 / sqrt(hidden_size)``.
    name : str, default "weight_hh_l0"
        Its name in PyTorch; decides the ink.
    bins : int, default 20
        Bars between the bounds, 1 to 60.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If something in an argument is not a number.
    ValueError
        If a value lies outside the bounds, or `bound` is not positive.

    Examples
    --------
    >>> uniform_draw([-0.4, -0.1, 0.2, 0.3], 0.5, bins=2).description
    'weight_hh_l0: 4 numbers between −0.4000 and 0.3000, all inside −0.5000 to 0.5000. \
2 bars hold 2 to 2 numbers each; 2.0 are expected in each.'
    """
    numbers = flat("values", values)
    bound = vector("bound", [bound])[0]
    if bound <= 0:
        raise ValueError(f"bound should be a positive number, got {bound}")
    worst = max(map(abs, numbers))
    if worst > bound:
        raise ValueError(f"values should be magnitudes up to the bound {bound}, got {worst}")
    whole("bins", bins, 1, 60)
    counts = [0] * bins
    for value in numbers:
        counts[min(bins - 1, int((value + bound) / (2 * bound) * bins))] += 1
    expected = len(numbers) / bins
    left, right, base, high = 46.0, WIDTH - 46.0, 160.0, 108.0
    scale = high / max(*counts, 1.25 * expected)
    width = (right - left) / bins
    token = next((ink for kind, (_, ink) in _KINDS.items() if name.startswith(kind)), None)
    parts = [
        box(left + width * place + 1, base - scale * count, width - 2, scale * count,
            token=token, fill=0.3, stroke=0.5)
        for place, count in enumerate(counts) if count
    ]  # fmt: skip
    level = base - scale * expected
    parts.append(line([(left - 14, level), (right + 14, level)], dashed=True))
    parts.append(line([(left - 14, base), (right + 14, base)]))
    parts.append(text(WIDTH / 2, 16, name, token=token, kind="code"))
    note = f"{len(numbers):,} numbers; dashed: {expected:.4g} expected in each bar"
    parts.append(text(WIDTH / 2, 34, note, kind="dim"))
    for x, value, label in (
        (left, -bound, "−bound"), (WIDTH / 2, 0.0, ""), (right, bound, "bound")
    ):  # fmt: skip
        parts.append(line([(x, base - (high if label else 0)), (x, base + 5)]))
        parts.append(text(x, base + 20, signed(value, 4) if label else "0", size=SMALL))
        parts.append(text(x, base + 37, label, kind="dim"))
    return Figure(
        f"The draw of {name}",
        f"{name}: {len(numbers)} numbers between {signed(min(numbers), 4)} and "
        f"{signed(max(numbers), 4)}, all inside {signed(-bound, 4)} to {signed(bound, 4)}. "
        f"{bins} bars hold {min(counts)} to {max(counts)} numbers each; "
        f"{expected:.1f} are expected in each.",
        "".join(parts),
        base + 46,
    )


def _columns(shape: tuple[int, ...]) -> int:
    """Give the width of a parameter; a vector is drawn upright."""
    return shape[1] if len(shape) == 2 else 1


def _by_layer(
    shapes: dict[str, tuple[int, ...]], num_layers: int
) -> list[list[dict[str, tuple[int, ...]]]]:
    """Sort parameters by layer and direction, under the first part of their names."""
    layers: list[list[dict[str, tuple[int, ...]]]] = [[] for _ in range(num_layers)]
    for name, shape in shapes.items():
        kind, layer, direction = parse_parameter_name(name)
        if direction == len(layers[layer]):
            layers[layer].append({})
        layers[layer][direction][kind] = shape
    return layers
