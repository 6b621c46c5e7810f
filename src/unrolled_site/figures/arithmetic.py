"""Drawings of one time step and of matrix products, from real values, to scale."""

from collections.abc import Sequence
from typing import Any

from .blocks import Block, cell_size, cells, draw_row, extent, outline, place, row_height, sharp
from .svg import (
    LINE,
    SMALL,
    WIDTH,
    Content,
    Figure,
    arrow,
    box,
    element,
    group,
    number,
    signed,
    text,
)
from .values import (
    activate,
    add,
    check_result,
    matrix,
    multiply,
    one_of,
    range_text,
    shape_text,
    transpose,
    vector,
    whole,
    words,
)

__all__ = [
    "addition_trees",
    "output_layer",
    "product",
    "step_equation",
]

_MARGIN = 8.0
_LARGEST_CELL = 42.0


def step_equation(
    x_t: Any,
    weight_ih: Any,
    bias_ih: Any,
    h_prev: Any,
    weight_hh: Any,
    bias_hh: Any,
    h_t: Any,
    nonlinearity: str = "tanh",
) -> Figure:
    r"""Draw one time step of ``nn.RNN``: every operand to scale, its values shaded.

    The formula is that of `torch.nn.RNN`, with rows for sequences:
    :math:`h_t = \tanh(x_t W_{ih}^T + b_{ih} + h_{t-1} W_{hh}^T + b_{hh})`.

    Parameters
    ----------
    x_t : array_like
        Inputs of the step, ``(N, H_in)``.
    weight_ih, weight_hh : array_like
        Weights as PyTorch stores them, ``(H_out, H_in)`` and ``(H_out, H_out)``; drawn transposed.
    bias_ih, bias_hh : array_like
        Biases, ``(H_out,)``.
    h_prev, h_t : array_like
        Hidden states before and after the step, ``(N, H_out)``.
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
        If the shapes do not belong together, or `h_t` is not what the formula gives.

    Examples
    --------
    >>> figure = step_equation([[1.0]], [[0.5]], [0.1], [[0.2]], [[0.0]], [0.4], [[0.7616]])
    >>> figure.title
    'One time step of nn.RNN'
    """
    one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
    inputs = matrix("x_t", x_t)
    N, H_in = len(inputs), len(inputs[0])
    before = matrix("h_prev", h_prev, (N, None))
    H_out = len(before[0])
    w_ih = transpose(matrix("weight_ih", weight_ih, (H_out, H_in)))
    w_hh = transpose(matrix("weight_hh", weight_hh, (H_out, H_out)))
    b_ih, b_hh = vector("bias_ih", bias_ih, H_out), vector("bias_hh", bias_hh, H_out)
    after = matrix("h_t", h_t, (N, H_out))

    first = (
        Block(inputs, "x_{t}", "x", shape_text(N, H_in)),
        "@",
        Block(w_ih, "W_{ih}^{⊤}", "wih", shape_text(H_in, H_out)),
        "+",
        Block([b_ih], "b_{ih}", "b", shape_text(H_out)),
    )
    second = (
        "+",
        Block(before, "h_{t-1}", "h", shape_text(N, H_out)),
        "@",
        Block(w_hh, "W_{hh}^{⊤}", "whh", shape_text(H_out, H_out)),
        "+",
        Block([b_hh], "b_{hh}", "b", shape_text(H_out)),
    )
    act = "tanh" if nonlinearity == "tanh" else "ReLU"
    third = (
        [(act, "act"), ("(sum)", None)],
        "=",
        Block(after, "h_{t}", "h", shape_text(N, H_out)),
    )
    expected = activate(
        nonlinearity,
        add(multiply(inputs, w_ih), [b_ih] * N, multiply(before, w_hh), [b_hh] * N),
    )
    check_result("h_t", after, expected)
    cell = cell_size((first, second, third), WIDTH - 2 * _MARGIN, 14.0)
    formula = [
        ("h_{t}", "h"), (" = ", None), (act, "act"), ("( ", None), ("x_{t}", "x"),
        ("W_{ih}^{⊤}", "wih"), (" + ", None), ("b_{ih}", "b"), (" + ", None),
        ("h_{t-1}", "h"), ("W_{hh}^{⊤}", "whh"), (" + ", None), ("b_{hh}", "b"), (" )", None),
    ]  # fmt: skip
    parts, y = [text(WIDTH / 2, 20, formula, kind="math")], 36.0
    for row in (first, second, third):
        parts.append(draw_row(row, y, cell)[0])
        y += row_height(row, cell) + 6
    return Figure(
        "One time step of nn.RNN",
        f"h_t = {act}(x_t W_ih^T + b_ih + h_(t-1) W_hh^T + b_hh) as blocks of cells, to scale. "
        f"x_t {shape_text(N, H_in)} times W_ih transposed {shape_text(H_in, H_out)} plus b_ih "
        f"{shape_text(H_out)}; plus h_(t-1) {shape_text(N, H_out)} times W_hh transposed "
        f"{shape_text(H_out, H_out)} plus b_hh {shape_text(H_out)}; {act} of the sum is h_t "
        f"{shape_text(N, H_out)}, with values from {range_text(after)}.",
        "".join(parts),
        y,
    )


def addition_trees() -> Figure:
    r"""Draw two orders in which one sum can be added up, as trees.

    PyTorch adds :math:`(h_{t-1} W_{hh}^T + b_{hh}) + (x_t W_{ih}^T + b_{ih})`; Python reads
    :math:`x_t W_{ih}^T + b_{ih} + h_{t-1} W_{hh}^T + b_{hh}` from left to right.

    Returns
    -------
    Figure
        The drawing, with a wide layout for wide columns.

    Examples
    --------
    >>> addition_trees().title
    'Two orders of additions'
    """
    ours = _tree("as PyTorch adds", (_STATES, _INPUTS), ((0, 1), (2, 3), (4, 5)))
    plain = _tree("from left to right", (_INPUTS, _STATES), ((0, 1), (4, 2), (5, 3)))
    title = "Two orders of additions"
    description = (
        "Two trees with the same four leaves, h_(t-1) W_hh transposed, b_hh, x_t W_ih transposed "
        "and b_ih; every plus rounds once. As PyTorch adds: first h_(t-1) W_hh transposed + b_hh, "
        "and x_t W_ih transposed + b_ih, then the two sums. From left to right: x_t W_ih "
        "transposed + b_ih, then + h_(t-1) W_hh transposed, then + b_hh."
    )
    height = 232.0
    below = group(plain, transform=f"translate(0 {number(height)})")
    beside = group(plain, transform=f"translate({number(WIDTH)} 0)")
    wide = Figure(title, description, ours + beside, height - 8, 2 * WIDTH)
    return Figure(title, description, ours + below, 2 * height - 8, wide=wide)


_INPUTS: tuple[Content, Content] = ([("x_{t}", "x"), ("W_{ih}^{⊤}", "wih")], [("b_{ih}", "b")])
_STATES: tuple[Content, Content] = ([("h_{t-1}", "h"), ("W_{hh}^{⊤}", "whh")], [("b_{hh}", "b")])


def _tree(
    name: str, halves: Sequence[tuple[Content, Content]], sums: Sequence[tuple[int, int]]
) -> str:
    """Draw a tree: four leaves, and a plus for each pair of leaves or of sums before it."""
    places = [(60.0 + 80 * column, 52.0) for column in range(4)]
    levels = [0, 0, 0, 0]
    parts = [text(WIDTH / 2, 18, name)]
    for (x, y), leaf in zip(places, [leaf for half in halves for leaf in half], strict=True):
        parts.append(text(x, y, leaf, kind="math"))
    for first, second in sums:
        level = 1 + max(levels[first], levels[second])
        x, y = (places[first][0] + places[second][0]) / 2, 52.0 + 40 * level
        for index in (first, second):
            from_x, from_y = places[index]
            start = from_y + (8 if index < len(_INPUTS) + len(_STATES) else 10)
            corners = [(from_x, start), (from_x, y), (x + (11 if from_x > x else -11), y)]
            parts.append(arrow(corners))
        parts.append(_plus(x, y))
        places.append((x, y))
        levels.append(level)
    x, y = places[-1]
    parts.append(arrow([(x, y + 10), (x, y + 30)]))
    parts.append(text(x, y + 45, "tanh", token="act", kind="math"))
    return "".join(parts)


def _plus(x: float, y: float) -> str:
    """Draw an addition."""
    circle = element(
        "circle", cx=x, cy=y, r=10, fill="currentColor", fill_opacity=0.08,
        stroke="currentColor", stroke_width=LINE,
    )  # fmt: skip
    return circle + text(x, y + 5, "+", kind="math")


def output_layer(h_t: Any, weight: Any, bias: Any, y_t: Any) -> Figure:
    """Draw the layer that turns hidden states into outputs: yours, not part of ``nn.RNN``.

    Parameters
    ----------
    h_t : array_like
        Hidden states, ``(N, H_out)``.
    weight : array_like
        The weight of your `torch.nn.Linear`, ``(features, H_out)``; drawn transposed.
    bias : array_like
        Its bias, ``(features,)``.
    y_t : array_like
        Its output, ``(N, features)``.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If something in an argument is not a number.
    ValueError
        If the shapes do not belong together, or `y_t` is not ``h_t @ weight.T + bias``.

    Examples
    --------
    >>> figure = output_layer([[0.5, -0.5]], [[1.0, 1.0]], [0.25], [[0.25]])
    >>> "not part of nn.RNN" in figure.description
    True
    """
    states = matrix("h_t", h_t)
    N, H_out = len(states), len(states[0])
    turned = transpose(matrix("weight", weight, (None, H_out)))
    features = len(turned[0])
    shift = vector("bias", bias, features)
    outputs = matrix("y_t", y_t, (N, features))
    check_result("y_t", outputs, add(multiply(states, turned), [shift] * N))
    # Spaces keep the operators clear of the frames.
    row = (
        Block(states, "h_{t}", "h", shape_text(N, H_out)),
        "  @  ",
        Block(turned, "W^{⊤}", None, shape_text(H_out, features)),
        "+",
        Block([shift], "b", "b", shape_text(features)),
        "  =  ",
        Block(outputs, "y_{t}", None, shape_text(N, features)),
    )
    cell = cell_size((row,), WIDTH - 2 * _MARGIN, 14.0)
    top, height = 28.0, row_height(row, cell)
    drawn, edges = draw_row(row, top, cell)
    parts = []
    for first, last, label, dashed in ((0, 0, "nn.RNN", False), (2, 4, "nn.Linear", True)):
        left, right = edges[first][0] - 7, edges[last][1] + 7
        own = row_height(row[first : last + 1], cell)
        y = top + (height - own) / 2 - 2
        parts.append(box(left, y, right - left, own + 6, fill=0.04, dashed=dashed, stroke=0.6))
        parts.append(text((left + right) / 2, y - 7, label, kind="code"))
        if dashed:
            parts.append(text((left + right) / 2, y + own + 22, "yours", size=SMALL))
    parts.append(drawn)
    return Figure(
        "From the hidden state to an output",
        f"h_t {shape_text(N, H_out)} is in a box named nn.RNN. An nn.Linear that you add, in a "
        f"dashed box and not part of nn.RNN, multiplies it by its weight transposed "
        f"{shape_text(H_out, features)} and adds its bias {shape_text(features)}. The result is "
        f"y_t {shape_text(N, features)}, with values from {range_text(outputs)}.",
        "".join(parts),
        top + height + 32,
    )


def product(
    a: Any,
    b: Any,
    result: Any,
    names: tuple[str, str, str] = ("A", "B", "C"),
    tokens: tuple[str | None, str | None, str | None] = (None, None, None),
    highlight: tuple[int, int] | None = None,
) -> Figure:
    """Draw a matrix product: each row of `a` meets each column of `b` in one element.

    Parameters
    ----------
    a, b : array_like
        The factors, ``(rows, inner)`` and ``(inner, columns)``.
    result : array_like
        Their product, ``(rows, columns)``.
    names : tuple of str
        What is written beside the blocks, mathematics as in formulas (``"W_{ih}^{⊤}"``).
    tokens : tuple of str or None
        Their inks.
    highlight : (int, int), optional
        A row and a column: both and the element where they meet are framed.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If something in an argument is not a number.
    ValueError
        If the shapes do not belong together, `result` is not the product, or the element to
        highlight is not drawn.

    Examples
    --------
    >>> figure = product([[1, 2]], [[3], [4]], [[11]], highlight=(0, 0))
    >>> figure.description
    'A (1, 2) times B (2, 1) is C (1, 1). Row 0 and column 0 are framed; they make 11.00.'
    """
    left = matrix("a", a)
    m, k = len(left), len(left[0])
    right = matrix("b", b, (k, None))
    n = len(right[0])
    made = matrix("result", result, (m, n))
    check_result("result", made, multiply(left, right))

    between, labels = 16.0, 38.0
    room = WIDTH - 2 * _MARGIN - between
    cell = min(_LARGEST_CELL, room / (extent(k, 1) + extent(n, 1)))
    cell = sharp(min(cell, 400 / (extent(k, 1) + extent(m, 1))))
    width = extent(k, cell) + between + extent(n, cell)
    x_a = (WIDTH - width) / 2
    x_b = x_a + extent(k, cell) + between
    y_b = labels + 4
    y_a = y_b + extent(k, cell) + between
    parts = []
    for block, x, y, name, token, at in (
        (left, x_a, y_a, names[0], tokens[0], y_a - 24),
        (right, x_b, y_b, names[1], tokens[1], y_b - 24),
        (made, x_b, y_a, names[2], tokens[2], y_a + extent(m, cell) + 22),
    ):
        parts.append(cells(x, y, block, cell, token))
        centre = x + extent(len(block[0]), cell) / 2
        parts.append(text(centre, at, name, token=token, kind="math"))
        shape = shape_text(len(block), len(block[0]))
        parts.append(text(centre, at + 16, shape, kind="dim"))
    height = y_a + extent(m, cell) + labels + 6
    said = tuple(words(name) for name in names)
    description = (
        f"{said[0]} {shape_text(m, k)} times {said[1]} {shape_text(k, n)} "
        f"is {said[2]} {shape_text(m, n)}."
    )
    if highlight is not None:
        i, j = (whole("highlight", index, 0) for index in highlight)
        row, column = place(m, i), place(n, j)
        if row is None or column is None:
            raise ValueError(
                f"highlight should be a row and a column that are drawn, got {highlight}"
            )
        top, across = y_a + row * cell, x_b + column * cell
        parts.append(outline(x_a, top, extent(k, cell), cell))
        parts.append(outline(across, y_b, cell, extent(k, cell)))
        parts.append(outline(across, top, cell, cell))
        value = signed(made[i][j])
        height += 24
        parts.append(text(WIDTH / 2, height - 8, f"row {i} · column {j} = {value}", size=SMALL))
        description += f" Row {i} and column {j} are framed; they make {value}."
    return Figure(f"The product {said[0]} @ {said[1]}", description, "".join(parts), height)
