"""A drawing of the gradient on its way back through the unrolled loop."""

from .svg import WIDTH, Figure, arrow, box, text
from .values import whole

__all__ = ["backward_through_time"]

_MOST_STEPS = 6


def backward_through_time(L: int = 5) -> Figure:
    """Draw the unrolled loop with the states running forward and the gradient running back.

    Parameters
    ----------
    L : int, default 5
        Time steps, 1 to 6.

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

    Notes
    -----
    P. J. Werbos, "Backpropagation Through Time: What It Does and How to Do It" (1990).

    Examples
    --------
    >>> backward_through_time(3).title
    'Forward and backward through 3 time steps'
    """
    L = whole("L", L, 1, _MOST_STEPS)
    pitch = min(76.0, (WIDTH - 2 * 44) / L)
    side = min(42.0, pitch - 16)
    start, apart = (WIDTH - pitch * L) / 2, side * 0.3
    end, left = start + pitch * L, min(start, WIDTH / 2 - 104)
    top, bottom = 68.0, 112.0
    forth, back = top + 11, bottom - 11
    foot, sums = bottom + 44, bottom + 76
    gap = (pitch - side) / 2
    parts = [
        box(left, 8, WIDTH - 2 * left, 22, fill=0.04),
        text(WIDTH / 2, 23.5, "loss"),
        text(start - 13, forth + 2, "h_{0}", anchor="end", token="h", kind="math"),
        text(start - 13, back + 9, _gradient("h_{0}", "h"), anchor="end", kind="math"),
        text(end + 13, forth + 2, "h_{n}", anchor="start", token="h", kind="math"),
        text(end + 13, back + 9, _gradient("h_{n}", "h"), anchor="start", kind="math"),
    ]
    for t in range(1, L + 1):
        x = start + pitch * (t - 0.5)
        enters = x - side / 2 - (2 * gap - 1 if t > 1 else gap + 9)
        comes = x + side / 2 + (2 * gap - 1 if t < L else gap + 9)
        parts += [
            box(x - side / 2, top, side, bottom - top, fill=0.06),
            # Left to right and up: the states.
            arrow([(enters, forth), (x - side / 2 - 2, forth)], token="h"),
            arrow([(x - apart, top), (x - apart, 33)], token="h"),
            text(x - apart - 3, 54, f"h_{{{t}}}", anchor="end", token="h", kind="math"),
            arrow([(x - apart, foot), (x - apart, bottom + 3)], token="x"),
            text(x - apart + 2, foot + 16, f"x_{{{t}}}", token="x", kind="math"),
            # Right to left and down: their gradients.
            arrow([(comes, back), (x + side / 2 + 2, back)], token="grad"),
            arrow([(x + apart, 30), (x + apart, top - 3)], token="grad"),
            arrow([(x, bottom), (x, foot - 1)], token="grad"),
            arrow([(x + apart, bottom), (x + apart, sums - 3)], token="grad"),
        ]
        if side >= 38:
            parts.append(text(x, (top + bottom) / 2 + 5, "tanh", token="act", kind="math"))
    parts += [
        # What leaves the first step, and what enters behind the last one.
        arrow([(end - gap + 1, forth), (end + 10, forth)], token="h"),
        arrow([(start + gap - 1, back), (start - 10, back)], token="grad"),
        box(left, sums, WIDTH - 2 * left, 30, token="grad", fill=0.08),
    ]
    shared: list[tuple[str, str | None]] = []
    for name, token in (("W_{ih}", "wih"), ("W_{hh}", "whh"), ("b_{ih}", "b"), ("b_{hh}", "b")):
        shared += [*([(",  ", None)] if shared else []), *_gradient(name, token)]
    parts.append(text(WIDTH / 2, sums + 20, shared, kind="math"))
    parts.append(text(WIDTH / 2, sums + 48, "the sum of what the steps give", kind="dim"))
    steps = "1 time step" if L == 1 else f"{L} time steps"
    return Figure(
        f"Forward and backward through {steps}",
        f"{steps}, a copy of the cell for each. Forward, from left to right: h_0 enters the first "
        "copy, each takes x_t from below, gives h_t to the loss above it and hands it to the next "
        "copy. Backward, beside every arrow an arrow the other way: a gradient comes down from the "
        "loss into each copy, the gradient of h_n enters the last copy from the right, and from "
        "copy to copy the gradient runs back to h_0. Each copy gives a gradient to its x_t, and "
        "one to W_ih, W_hh, b_ih and b_hh, where the contributions of all copies are added up.",
        "".join(parts),
        sums + 58,
    )


def _gradient(symbol: str, token: str) -> list[tuple[str, str | None]]:
    """Write the gradient of a symbol."""
    return [("∂", "grad"), (symbol, token)]
