"""Matrices as blocks of cells, to scale, shaded by value.

A filled cell is a positive number, a hollow one a negative number, an empty one is zero; the
stronger the ink, the larger the magnitude, measured against the largest of its block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .svg import (
    SMALL,
    SYMBOL,
    WIDTH,
    Content,
    box,
    element,
    group,
    line,
    number,
    signed,
    text,
    text_width,
)
from .values import Matrix, largest

__all__ = [
    "Block",
    "Row",
    "cell_size",
    "cells",
    "draw_row",
    "extent",
    "outline",
    "place",
    "plain_block",
    "row_height",
    "sharp",
]

LONGEST = 64
"""A block shows at most this many rows or columns; a longer one has a break in its middle."""

_BREAK = 4  # the width of a break, in cells
_LEVELS = 8  # strengths of ink
_WITH_NUMBER = 39.0  # a cell at least this wide shows its number
_HOLLOW = 4.0  # a smaller cell has no room for a hole: a negative number is a dot in it
_GAP = 7.0  # between the items of a row
_ABOVE, _BELOW = 8.0, 16.0  # from a block to the baselines of its name and of its shape


@dataclass(frozen=True, slots=True)
class Block:
    """A matrix or a vector with its name.

    Attributes
    ----------
    values : list of list of float
        Its rows; a vector has one.
    name : str
        Mathematics, as in `unrolled_site.figures.svg.text`.
    token : str or None
        Its ink.
    shape : str
        What is written below it.
    """

    values: Matrix
    name: str
    token: str | None
    shape: str

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.values)

    @property
    def columns(self) -> int:
        """The number of columns."""
        return len(self.values[0])


Row: TypeAlias = Sequence[Block | Content]
"""Blocks and operators side by side."""


def extent(count: int, cell: float) -> float:
    """Give the length of `count` cells, those in a break left out.

    Parameters
    ----------
    count : int
        Rows or columns.
    cell : float
        The side of a cell.

    Returns
    -------
    float
        The length.

    Examples
    --------
    >>> extent(20, 5.0), extent(1000, 5.0)
    (100.0, 320.0)
    """
    return min(count, LONGEST) * cell


def cells(
    x: float,
    y: float,
    values: Matrix,
    cell: float,
    token: str | None,
    height: float | None = None,
) -> str:
    """Draw a block of cells.

    Parameters
    ----------
    x, y : float
        Its upper left corner.
    values : list of list of float
        The rows.
    cell : float
        The width of a cell.
    token : str or None
        Its ink.
    height : float, optional
        The height of a cell; by default it is square.

    Returns
    -------
    str
        The markup: one path for each strength and sign, one closed square in it for each number.
    """
    size = (cell, cell if height is None else height)
    with_numbers = size[0] >= _WITH_NUMBER and size[1] >= SMALL + 4
    top = largest(values) or 1.0
    paths: dict[tuple[bool, int], str] = {}
    numbers = []
    for i, row in _places(len(values)):
        for j, column in _places(len(values[0])):
            value = values[i][j]
            left, upper = x + column * size[0], y + row * size[1]
            if with_numbers:
                middle = (left + size[0] / 2, upper + size[1] / 2 + 4)
                digits = 2 if abs(value) < 9.995 else 0
                numbers.append(text(*middle, signed(value, digits), size=SMALL))
            if value != 0:
                kind = (value < 0, max(1, round(_LEVELS * abs(value) / top)))
                paths[kind] = paths.get(kind, "") + _piece(left, upper, size, value < 0)
    shades = []
    for (negative, level), d in sorted(paths.items()):
        strength = 0.1 + 0.9 * level / _LEVELS
        if negative and min(size) >= _HOLLOW:
            shades.append(
                element(
                    "path",
                    d=d,
                    fill="none",
                    stroke="currentColor",
                    stroke_width=_hole(size),
                    stroke_opacity=strength,
                )
            )
        else:
            # A number on top must stay readable.
            strength *= 0.3 if with_numbers else 1.0
            shades.append(element("path", d=d, fill="currentColor", fill_opacity=strength))
    width, depth = extent(len(values[0]), size[0]), extent(len(values), size[1])
    frame = element(
        "rect",
        x=x - 1,
        y=y - 1,
        width=width + 2,
        height=depth + 2,
        rx=1.5,
        fill="none",
        stroke="currentColor",
        stroke_width=0.75,
        stroke_opacity=0.55,
    )
    breaks = _breaks(x, y, len(values), len(values[0]), size)
    return group(*shades, frame, *breaks, token=token) + "".join(numbers)


def place(count: int, index: int) -> int | None:
    """Find where a row or column is drawn in a block.

    Parameters
    ----------
    count : int
        Rows or columns of the block.
    index : int
        Which one.

    Returns
    -------
    int or None
        Its place, None if it is left out.

    Examples
    --------
    >>> place(20, 7), place(100, 99), place(100, 50)
    (7, 63, None)
    """
    return dict(_places(count)).get(index)


def outline(x: float, y: float, width: float, height: float) -> str:
    """Draw a frame around a part of a block.

    Parameters
    ----------
    x, y, width, height : float
        The part.

    Returns
    -------
    str
        The markup.
    """
    return element(
        "rect",
        x=x - 1.5,
        y=y - 1.5,
        width=width + 3,
        height=height + 3,
        rx=2.5,
        fill="none",
        stroke="currentColor",
        stroke_width=1.75,
    )


def cell_size(rows: Sequence[Row], width: float, most: float) -> float:
    """Find the largest cell with which all rows fit.

    Parameters
    ----------
    rows : sequence of Row
        The rows of blocks.
    width : float
        The room.
    most : float
        The largest cell allowed.

    Returns
    -------
    float
        The side of a cell, at least 0.5.
    """
    low, high = 0.5, most
    for _ in range(20):
        middle = (low + high) / 2
        fits = all(_row_width(row, middle) <= width for row in rows)
        low, high = (middle, high) if fits else (low, middle)
    return sharp(low)


def sharp(cell: float) -> float:
    """Round the side of a cell down to a half or, if it is small, a quarter: sharper edges.

    Parameters
    ----------
    cell : float
        The side of a cell.

    Returns
    -------
    float
        The rounded side, at least 0.5.

    Examples
    --------
    >>> sharp(5.7), sharp(1.4), sharp(0.1)
    (5.5, 1.25, 0.5)
    """
    parts = 2 if cell >= 3 else 4
    return max(0.5, int(parts * cell) / parts)


def row_height(row: Row, cell: float) -> float:
    """Give the height of a row, with the names above and the shapes below.

    Parameters
    ----------
    row : Row
        Blocks and operators.
    cell : float
        The side of a cell.

    Returns
    -------
    float
        The height.
    """
    tallest = max(extent(item.rows, cell) for item in row if isinstance(item, Block))
    return _ABOVE + SYMBOL + tallest + _BELOW + 4


def draw_row(
    row: Row, y: float, cell: float, x: float | None = None
) -> tuple[str, list[tuple[float, float]]]:
    """Draw a row of blocks and operators, centred on one line.

    Parameters
    ----------
    row : Row
        Blocks and operators.
    y : float
        The upper edge.
    cell : float
        The side of a cell.
    x : float, optional
        The left edge; by default the row is centred in the figure.

    Returns
    -------
    str
        The markup.
    list of (float, float)
        The left and right edge of each item.
    """
    left = (WIDTH - _row_width(row, cell)) / 2 if x is None else x
    axis = y + _ABOVE + SYMBOL + (row_height(row, cell) - _ABOVE - SYMBOL - _BELOW - 4) / 2
    parts, edges = [], []
    for item in row:
        width = _item_width(item, cell)
        middle = left + width / 2
        if isinstance(item, Block):
            w, h = extent(item.columns, cell), extent(item.rows, cell)
            parts.append(cells(middle - w / 2, axis - h / 2, item.values, cell, item.token))
            name_y, shape_y = axis - h / 2 - _ABOVE, axis + h / 2 + _BELOW
            parts.append(text(middle, name_y, item.name, token=item.token, kind="math"))
            parts.append(text(middle, shape_y, item.shape, kind="dim"))
        else:
            parts.append(text(middle, axis + 5, item, kind="math"))
        edges.append((left, left + width))
        left += width + _GAP
    return "".join(parts), edges


def plain_block(
    x: float, y: float, width: float, height: float, token: str | None, dividers: Sequence[float]
) -> str:
    """Draw a block of which only the shape is known.

    Parameters
    ----------
    x, y, width, height : float
        Where, and how large.
    token : str or None
        Its ink.
    dividers : sequence of float
        Heights, from its upper edge, of lines across it.

    Returns
    -------
    str
        The markup.
    """
    return group(
        box(x, y, width, height, fill=0.18),
        *(line([(x, y + d), (x + width, y + d)], width=0.75) for d in dividers),
        token=token,
    )


def _item_width(item: Block | Content, cell: float) -> float:
    """Give the width of a block with its name and shape, or of an operator."""
    if not isinstance(item, Block):
        return text_width(item, SYMBOL, "math")
    return max(
        extent(item.columns, cell),
        text_width(item.name, SYMBOL, "math"),
        text_width(item.shape, SMALL),
    )


def _row_width(row: Row, cell: float) -> float:
    """Give the width of a row."""
    return sum(_item_width(item, cell) for item in row) + _GAP * (len(row) - 1)


def _places(count: int) -> list[tuple[int, int]]:
    """List the indices that are shown, each with its place."""
    if count <= LONGEST:
        return [(index, index) for index in range(count)]
    head = (LONGEST - _BREAK) // 2
    tail = LONGEST - _BREAK - head
    return [(index, index) for index in range(head)] + [
        (count - tail + k, LONGEST - tail + k) for k in range(tail)
    ]


def _hole(size: tuple[float, float]) -> float:
    """Give the width of the line around a hollow cell."""
    return min(1.5, min(size) / 5)


def _piece(x: float, y: float, size: tuple[float, float], negative: bool) -> str:
    """Write one cell as a piece of a path."""
    side = min(size)
    inset = 0.0 if side < 3 else min(0.5, side / 12)
    if negative:
        inset = inset + _hole(size) / 2 if side >= _HOLLOW else 0.3 * side
    width, height = number(size[0] - 2 * inset), number(size[1] - 2 * inset)
    return f"M{number(x + inset)} {number(y + inset)}h{width}v{height}h-{width}z"


def _breaks(x: float, y: float, rows: int, columns: int, size: tuple[float, float]) -> list[str]:
    """Draw the two lines that say: rows or columns are left out here."""
    marks = []
    head = (LONGEST - _BREAK) // 2
    width, height = extent(columns, size[0]), extent(rows, size[1])
    for place in (head + 1, head + _BREAK - 1):
        if columns > LONGEST:
            across = x + place * size[0]
            marks.append(line([(across, y - 3), (across, y + height + 3)]))
        if rows > LONGEST:
            down = y + place * size[1]
            marks.append(line([(x - 3, down), (x + width + 3, down)]))
    return marks
