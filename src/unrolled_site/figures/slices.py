"""A drawing of a whole pass: one time slice after another goes through the same cell."""

from dataclasses import dataclass
from typing import Any

from .svg import LINE, SMALL, Figure, Kind, arrow, box, element, group, line, number, text
from .values import shape_text, whole

__all__ = ["block"]

_RANGE = {"N": (1, 4), "L": (3, 5), "H_in": (1, 32), "H_out": (1, 32)}


def block(
    N: int | None = None, L: int | None = None, H_in: int | None = None, H_out: int | None = None
) -> Figure:
    """Draw a batch as a box of which ``nn.RNN`` reads one time slice after another.

    Parameters
    ----------
    N, L, H_in, H_out : int, optional
        Sequences, time steps, and features of the input and of the hidden state; by default
        those of the worked example.

    Returns
    -------
    Figure
        The drawing, with a wide layout for wide columns.

    Raises
    ------
    TypeError
        If a size is not an int.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> block(2, 3, 4, 5).title
    'nn.RNN reads one time slice after another'
    """
    sizes = _sizes({"N": N, "L": L, "H_in": H_in, "H_out": H_out})
    wide = _draw(_Layout(*sizes, width=640, left=76, cell=5.2, depth=46, thick=9))
    narrow = _draw(_Layout(*sizes, width=360, left=73, cell=7, depth=17, thick=3.5))
    return Figure(**narrow, wide=Figure(**wide))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the slices are: `L` columns of them, and one before and one after for h_0 and h_n."""

    N: int
    L: int
    H_in: int
    H_out: int
    width: float
    left: float
    cell: float
    depth: float
    thick: float

    @property
    def pitch(self) -> float:
        """From one slice to the next."""
        return (self.width - self.left) / (self.L + 2)

    @property
    def side(self) -> tuple[float, float]:
        """How far one sequence lies behind the other: to the right and up."""
        reach = min(self.depth, self.pitch - self.thick - 7)
        return reach / self.N, 0.55 * reach / self.N

    @property
    def row(self) -> float:
        """The height of a feature."""
        return min(self.cell, 20 * self.cell / max(self.H_in, self.H_out))

    @property
    def lit(self) -> int:
        """The time step that the drawing stops at."""
        return (self.L + 1) // 2

    def x(self, column: int) -> float:
        """Give the left edge of the slice in a column; 0 is that of h_0."""
        return self.left + column * self.pitch

    def middle(self, column: int) -> float:
        """Give the middle of a slice, seen from the front."""
        return self.x(column) + (self.thick + self.N * self.side[0]) / 2


def _sizes(given: dict[str, int | None]) -> tuple[int, int, int, int]:
    """Check the sizes; those left out are the ones of the worked example."""
    if None in given.values():
        from .. import example  # needs torch

        given = {n: getattr(example, n) if v is None else v for n, v in given.items()}
    N, L, H_in, H_out = (whole(name, size, *_RANGE[name]) for name, size in given.items())
    return N, L, H_in, H_out


def _draw(at: _Layout) -> dict[str, Any]:
    """Draw one layout."""
    back = at.N * at.side[1]
    top = 36 + back
    bar = top + at.H_in * at.row + 24
    floor = bar + _BAR + 24 + back
    bottom = floor + at.H_out * at.row
    parts = [
        _frame(at, top, at.H_in, "x"),
        _frame(at, floor, at.H_out, "h"),
        *_input_labels(at, top),
        *_output_labels(at, floor),
        _module(at, bar),
    ]
    for t in range(1, at.L + 1):
        fill = 0.62 if t == at.lit else 0.16 if t < at.lit else 0.07
        parts.append(_slice(at, t, top, at.H_in, "x", fill))
        fill = 0.62 if t == at.lit else 0.34 if t < at.lit else 0.0
        parts.append(_slice(at, t, floor, at.H_out, "h", fill))
        parts.append(_step(at, t, top + at.H_in * at.row, bar, floor - back))
    parts.append(_slice(at, 0, floor, at.H_out, "h", 0.34))
    parts.append(_slice(at, at.L + 1, floor, at.H_out, "h", 0.0))
    parts += _ends(at, bar, floor - back)
    return {
        "title": "nn.RNN reads one time slice after another",
        "description": _description(at),
        "body": "".join(parts),
        "height": bottom + 42,
        "width": at.width,
        "caption": f"Paused at step {at.lit}: empty slices come later.",
    }


_BAR = 44.0  # the height of the bar that stands for the module


def _slice(at: _Layout, column: int, y: float, rows: int, token: str, fill: float) -> str:
    """Draw a slice: its front edge, its upper edge, and its face with a cell for each number."""
    (dx, dy), x, height = at.side, at.x(column), rows * at.row
    x1, wide, high = x + at.thick, at.N * dx, at.N * dy
    faces = (
        (((x, y), (x1, y), (x1, y + height), (x, y + height)), 0.75),
        (((x, y), (x1, y), (x1 + wide, y - high), (x + wide, y - high)), 0.5),
        (((x1, y), (x1 + wide, y - high), (x1 + wide, y + height - high), (x1, y + height)), 1.0),
    )
    strong = 1.0 if fill > 0.5 else 0.45
    grid = "".join(
        f"M{number(x1)} {number(y + r * at.row)}l{number(wide)} {number(-high)}"
        for r in range(1, rows)
    ) + "".join(
        f"M{number(x1 + n * dx)} {number(y - n * dy)}v{number(height)}" for n in range(1, at.N)
    )
    return group(
        *(_face(corners, fill * part, strong) for corners, part in faces),
        element("path", d=grid, fill="none", stroke="currentColor", stroke_width=0.5,
                stroke_opacity=0.5 * strong) if grid else "",
        token=token,
    )  # fmt: skip


def _face(corners: tuple[tuple[float, float], ...], fill: float, strong: float) -> str:
    """Draw one face of a slice."""
    d = "L".join(f"{number(x)} {number(y)}" for x, y in corners)
    return element(
        "path",
        d=f"M{d}z",
        fill="currentColor",
        fill_opacity=fill,
        stroke="currentColor",
        stroke_width=LINE if strong == 1.0 else 0.75,
        stroke_opacity=strong,
        stroke_linejoin="round",
    )


def _frame(at: _Layout, y: float, rows: int, token: str) -> str:
    """Draw the edges of the box that the slices make up."""
    (dx, dy), height = at.side, rows * at.row
    wide, high = at.N * dx, at.N * dy
    x0, x1 = at.x(1), at.x(at.L) + at.thick
    edges = ((x0, y, x1, y), (x0, y + height, x1, y + height),
             (x0 + wide, y - high, x1 + wide, y - high))  # fmt: skip
    return group(
        *(line([(a, b), (c, d)], dashed=True, width=0.75, opacity=0.6) for a, b, c, d in edges),
        token=token,
    )


def _module(at: _Layout, y: float) -> str:
    """Draw the bar that stands for the module."""
    half = at.middle(1) - at.x(1) + 5
    left, right = at.middle(1) - half - 4, at.middle(at.L) + half + 4
    return box(left, y, right - left, _BAR, fill=0.05, stroke=0.5) + text(
        at.middle(0) - 8, y + _BAR / 2 + 4, "nn.RNN", anchor="end", kind="code"
    )


def _step(at: _Layout, t: int, above: float, bar: float, below: float) -> str:
    """Draw a time step: a slice goes in, the state passes through, a slice comes out."""
    x, half = at.middle(t), _half(at)
    middle = bar + _BAR / 2
    done = t <= at.lit
    parts = [
        box(x - half, bar + 9, 2 * half, _BAR - 18, token="h" if done else None,
            fill=0.3 if t == at.lit else 0.08 if done else 0.0, dashed=not done,
            stroke=1.0 if t == at.lit else 0.5),
    ]  # fmt: skip
    wires = [
        arrow([(x, above + 3), (x, bar + 7)], token="x", dashed=not done),
        arrow([(x, bar + _BAR - 8), (x, below - 2)], token="h", dashed=not done),
    ]
    if t > 1:
        start = at.middle(t - 1) + half + 1
        wires.append(arrow([(start, middle), (x - half - 2, middle)], token="h", dashed=not done))
    parts += wires if done else [group(*wires, stroke_opacity=0.6)]
    if t == at.lit:
        parts.append(text(x + 5, above + 17, f"x_{{{t}}}", anchor="start", token="x", kind="math"))
        y = bar + _BAR + 14
        parts.append(text(x + 5, y, f"h_{{{t}}}", anchor="start", token="h", kind="math"))
        gap = at.x(t) - at.pitch / 2 + at.middle(0) - at.x(0)
        if at.pitch - 2 * half >= 24:
            parts.append(text(gap - 3, middle - 7, f"h_{{{t - 1}}}", token="h", kind="math"))
    size = min(16.0, 16.0 * half / 20)
    if size >= SMALL - 0.5:
        act = "act" if done else None
        parts.append(text(x, middle + size / 3, "tanh", token=act, kind="math", size=size))
    return "".join(parts)


def _half(at: _Layout) -> float:
    """Half the width of the cell."""
    return min(24.0, at.pitch / 2 - 7)


def _ends(at: _Layout, bar: float, below: float) -> list[str]:
    """Draw how h_0 gets into the module, and h_n out of it."""
    middle, half = bar + _BAR / 2, _half(at)
    first, last = at.middle(0), at.middle(at.L + 1)
    return [
        arrow([(first, below - 2), (first, middle), (at.middle(1) - half - 2, middle)], token="h"),
        arrow([(at.middle(at.L) + half + 1, middle), (last, middle), (last, below - 2)],
              token="h", dashed=True),
    ]  # fmt: skip


def _input_labels(at: _Layout, y: float) -> list[str]:
    """Name the input and its three axes."""
    left, right = at.x(1) + at.thick, at.x(at.L) + at.thick
    reach, back = at.N * at.side[0], at.N * at.side[1]
    edge = y - back - 6  # above the far upper edge
    low = y + at.H_in * at.row
    middle = (y + low) / 2 - back / 2
    return [
        text(left - 14, 15, "x", anchor="end", token="x", kind="math"),
        text(left - 14, 31, shape_text(at.N, at.L, at.H_in), anchor="end", kind="dim"),
        *_height(at.x(1), y, at.H_in * at.row, "H_{in}", at.H_in),
        arrow([(left + reach, edge), (right + reach, edge)]),
        text((left + right) / 2 + reach, edge - 7, f"L = {at.L} time steps", kind="math"),
        line([(right + 2, low + 4), (right + reach + 2, low - back + 4)], opacity=0.5),
        text(right + reach + 1, middle, f"N = {at.N}", anchor="start", kind="math"),
        text(right + reach + 1, middle + 17, "sequences", anchor="start", size=SMALL),
    ]  # fmt: skip


def _output_labels(at: _Layout, y: float) -> list[str]:
    """Name the states, and the axis that differs."""
    bottom = y + at.H_out * at.row
    states = shape_text(1, at.N, at.H_out)
    rows: tuple[tuple[float, str, Kind, str], ...] = (
        (at.x(0) + at.thick, "h_{0}", "math", states),
        ((at.x(1) + at.x(at.L) + at.thick) / 2, "output", "code", shape_text(at.N, at.L, at.H_out)),
        (at.x(at.L + 1) + at.thick, "h_{n}", "math", states),
    )
    parts = _height(at.x(0), y, at.H_out * at.row, "H_{out}", at.H_out)
    for x, name, kind, shape in rows:
        parts.append(text(x, bottom + 19, name, token="h", kind=kind))
        parts.append(text(x, bottom + 35, shape, kind="dim"))
    return parts


def _height(x: float, y: float, height: float, symbol: str, size: int) -> list[str]:
    """Write how high a slice is, left of it."""
    middle = y + height / 2
    return [
        line([(x - 4, y), (x - 4, y + height)], opacity=0.5),
        text(x - 6, middle, f"{symbol} = {size}", anchor="end", kind="math"),
        text(x - 6, middle + 17, "features", anchor="end", size=SMALL),
    ]


def _description(at: _Layout) -> str:
    """Say what the drawing shows."""
    t, step = at.lit, shape_text(at.N, at.H_in)
    return (
        f"The input x {shape_text(at.N, at.L, at.H_in)} is a box: {at.N} sequences deep, {at.L} "
        f"time steps long, {at.H_in} features high. It is cut into one slice {step} for each time "
        f"step. nn.RNN starts from the hidden state h_0 {shape_text(1, at.N, at.H_out)} and reads "
        f"one slice after another; the state goes on from step to step. The drawing stops at step "
        f"{t}: slice x_{t} enters the cell, and h_{t} comes out, a slice "
        f"{shape_text(at.N, at.H_out)} of the box output {shape_text(at.N, at.L, at.H_out)}. The "
        f"slices of output before it are filled, those after it are still empty. The state after "
        f"the last step leaves as h_n {shape_text(1, at.N, at.H_out)}."
    )
