"""A drawing of the sizes in an LSTM with a projection."""

from .blocks import plain_block
from .svg import SMALL, WIDTH, Content, Figure, arrow, box, line, text
from .values import whole

__all__ = ["projection"]

_MOST = 9999  # a larger number has no room
_STRIP = 20.0


def projection(hidden_size: int, proj_size: int, input_size: int) -> Figure:
    """Draw to scale what is ``hidden_size`` wide and what ``proj_size`` in an LSTM.

    Parameters
    ----------
    hidden_size : int
        Features of a gate and of the cell state, 2 to 9999.
    proj_size : int
        Features of the hidden state, 1 to ``hidden_size - 1``.
    input_size : int
        Features of the input, 1 to 9999.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If an argument is not an int.
    ValueError
        If it is out of range.

    Notes
    -----
    Source: ``proj_size`` in the docstring of `torch.nn.LSTM`.

    Examples
    --------
    >>> projection(20, 7, 10).title
    'What is how wide in an LSTM with a projection'
    """
    whole("hidden_size", hidden_size, 2, _MOST)
    whole("proj_size", proj_size, 1, hidden_size - 1)
    whole("input_size", input_size, 1, _MOST)
    H, P, centre = hidden_size, proj_size, WIDTH / 2
    scale = min(154 / (4 * H), 200 / (input_size + P))
    wide = {size: max(3.0, size * scale) for size in (4 * H, H, P, input_size)}
    # The labels below the two inputs need room.
    apart = max((wide[input_size] + wide[P]) / 2 + 24, 112.0)
    x, h = centre - apart / 2, centre + apart / 2
    parts: list[str] = []
    y = 42.0
    hidden, projected = f"hidden_size = {H}", f"proj_size = {P}"
    product: Content = [("o_{t}", "go"), (" tanh", "act"), ("(", None), ("c_{t}", "c"), (")", None)]
    parts.append(text(centre, 14, "to output, to h_n and to the next step", kind="dim"))
    parts.append(arrow([(centre, y), (centre, 21)], token="h"))
    strips: list[tuple[Content, int, str | None, str]] = [
        ("h_{t}", P, "h", projected),
        (product, H, None, hidden),
        ("c_{t}", H, "c", hidden),
    ]
    for name, size, token, label in strips:
        w = wide[size]
        parts.append(box(centre - w / 2, y, w, _STRIP, token=token, fill=0.16))
        parts.append(
            text(centre - w / 2 - 10, y + 15, name, anchor="end", token=token, kind="math")
        )
        parts.append(text(centre + w / 2 + 10, y + 14.5, label, anchor="start", kind="dim"))
        down = 22
        if token == "h":
            parts.append(
                text(centre + 9, y + _STRIP + 25, "W_{hr}^{⊤}", anchor="start", kind="math")
            )
            down = 40
        parts.append(arrow([(centre, y + _STRIP + down), (centre, y + _STRIP + 2)]))
        y += _STRIP + down
    w = wide[4 * H]
    for place, gate in enumerate("ifgo"):
        left = centre + w * (place / 4 - 0.5)
        parts.append(box(left, y, w / 4, _STRIP, token=f"g{gate}", fill=0.16))
        if w / 4 >= 14:
            parts.append(text(left + w / 8, y + 15, gate, token=f"g{gate}", kind="math"))
    parts.append(text(centre - w / 2 - 10, y + 15, "gates", anchor="end", size=SMALL))
    parts.append(
        text(centre + w / 2 + 10, y + 14.5, f"4 · {H} = {4 * H}", anchor="start", kind="dim")
    )
    y += _STRIP + 40
    reach = wide[4 * H] / 2 * 0.8  # where an arrow may end under the gates
    for at, size, name, token, label, weight, ink in (
        (x, input_size, "x_{t}", "x", f"input_size = {input_size}", "W_{ih}^{⊤}", "wih"),
        (h, P, "h_{t-1}", "h", projected, "W_{hh}^{⊤}", "whh"),
    ):
        w = wide[size]
        end = at if abs(at - centre) < reach else centre + (reach if at > centre else -reach)
        turn = [(at, y - 12), (end, y - 12)] if end != at else []
        points = [(at, y), *turn, (end, y - 38)]
        parts.append(arrow(points, token=token))
        parts.append(
            text(
                at + (9 if at > centre else -9),
                y - 16,
                weight,
                anchor="start" if at > centre else "end",
                token=ink,
                kind="math",
            )
        )
        parts.append(box(at - w / 2, y, w, _STRIP, token=token, fill=0.16))
        parts.append(text(at, y + _STRIP + 18, name, token=token, kind="math"))
        parts.append(text(at, y + _STRIP + 35, label, kind="dim"))
    y += _STRIP + 52
    parts.append(line([(24, y), (WIDTH - 24, y)], width=0.75, opacity=0.4))
    weights, height = _weights(y + 30, H, P, input_size)
    parts.append(weights)
    return Figure(
        "What is how wide in an LSTM with a projection",
        f"To scale. x_t is {input_size} wide (input_size), h_(t-1) {P} (proj_size). Through "
        f"weight_ih ({4 * H}, {input_size}) and weight_hh ({4 * H}, {P}) they make the four gates, "
        f"4 · {H} = {4 * H} wide. c_t and o_t tanh(c_t) are {H} wide (hidden_size). weight_hr "
        f"({P}, {H}) projects the latter to h_t, {P} wide, which goes to output, to h_n and to "
        f"the next step. Without a projection weight_hh would be ({4 * H}, {H}), and there would "
        "be no weight_hr.",
        "".join(parts),
        height,
    )


def _weights(y: float, H: int, P: int, input_size: int) -> tuple[str, float]:
    """Draw the weights to scale, and say where the drawing ends."""
    parts = []
    cell = min(112 / (4 * H), 90 / max(input_size, H))
    tall = max(3.0, 4 * H * cell)
    for at, rows, columns, name, token in (
        (62.0, 4 * H, input_size, "weight_ih", "wih"),
        (WIDTH / 2, 4 * H, P, "weight_hh", "whh"),
        (WIDTH - 62.0, P, H, "weight_hr", None),
    ):
        w, high = max(3.0, columns * cell), max(3.0, rows * cell)
        dividers = [tall * part / 4 for part in (1, 2, 3)] if rows == 4 * H else []
        left = at - w / 2
        if name == "weight_hh":
            # Its columns without a projection lie behind it.
            left = at - max(3.0, H * cell) / 2
            parts.append(box(left, y + 12, max(3.0, H * cell), tall, fill=0.0, stroke=0.35))
        parts.append(text(at, y, name, token=token, kind="code"))
        parts.append(plain_block(left, y + 12, w, high, token, dividers))
        parts.append(text(at, y + high + 30, f"({rows}, {columns})", kind="dim"))
    parts.append(text(WIDTH / 2, y + tall + 48, f"without a projection ({4 * H}, {H})", kind="dim"))
    return "".join(parts), y + tall + 58
