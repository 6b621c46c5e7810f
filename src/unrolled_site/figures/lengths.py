"""A drawing of sequences of unequal length, packed."""

from collections.abc import Sequence
from typing import Any

from .svg import SMALL, WIDTH, Figure, arrow, box, line, text, text_width
from .values import whole

__all__ = ["packing"]

_MOST = 8  # sequences, and time steps
_CELL, _GAP = 19.0, 8.0
_NAMES = "abcdefgh"


def packing(lengths: Any) -> Figure:
    """Draw how sequences of unequal length are padded, sorted and packed.

    Parameters
    ----------
    lengths : sequence of int, or an object with ``tolist``
        The length of each sequence, 1 to 8; 1 to 8 of them, in any order.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If `lengths` is not a sequence, or a length not an int.
    ValueError
        If a length or their number is out of range.

    Notes
    -----
    Source: the docstring of `torch.nn.utils.rnn.pack_padded_sequence`. Sequences of one length
    stay in their order.

    Examples
    --------
    >>> packing([3, 5, 2]).description.partition(" data ")[0]
    'Sequences padded to 5 time steps: a of length 3, b of length 5, c of length 2. Sorted by \
length, the longest first, they are b, a, c.'
    """
    plain = lengths.tolist() if hasattr(lengths, "tolist") else lengths
    if not isinstance(plain, Sequence):
        raise TypeError(f"lengths should be a sequence of int, got {type(lengths).__name__}")
    given = [whole("lengths", length, 1, _MOST) for length in plain]
    if not 1 <= len(given) <= _MOST:
        raise ValueError(f"lengths should be 1 to {_MOST} of them, got {len(given)}")
    order = sorted(range(len(given)), key=lambda index: -given[index])
    L = max(given)
    sizes = [sum(length > t for length in given) for t in range(L)]
    in_order = order == sorted(order)
    grid, between, top = L * _CELL, 26.0, 40.0
    foot = top + _CELL * len(given)
    left = (WIDTH - grid) / 2
    parts = []
    if not in_order:
        left = (WIDTH - between) / 2 - grid
        parts.append(_grid(left, top, given, range(len(given)), L))
        parts.append(text(left + grid / 2, 14, "padded", size=SMALL))
        middle = (top + foot) / 2
        parts.append(arrow([(left + grid + 4, middle), (left + grid + between - 4, middle)]))
        left += grid + between
    title = "longest first"
    if in_order:
        title = "no padding needed" if sizes[-1] == len(given) else "padded, longest first"
    parts.append(text(left + grid / 2, 14, title, size=SMALL))
    parts.append(_grid(left, top, given, order, L))
    rows = _wrap(sizes)
    total = "1 row" if sum(given) == 1 else f"{sum(given)} rows"
    note, indent = f"{total}, no padding", text_width("data ", SMALL, "code")
    widest = max(_length([sizes[t] for t in row]) for row in rows)
    left = (WIDTH - max(widest, indent + text_width(note, SMALL))) / 2
    y = foot + 34
    parts.append(text(left, y, "data", anchor="start", kind="code"))
    parts.append(text(left + indent, y, note, anchor="start", kind="dim"))
    y += 24
    for row in rows:
        x = left
        for t in row:
            end = x + sizes[t] * _CELL
            parts.append(_time((x + end) / 2, y, t))
            for place, index in enumerate(order[: sizes[t]]):
                parts.append(_cell(x + place * _CELL, y + 6, f"{_NAMES[index]}{t + 1}"))
            low = y + 8 + _CELL
            parts.append(line([(x + 1, low), (x + 1, low + 5), (end - 1, low + 5), (end - 1, low)]))
            parts.append(text((x + end) / 2, low + 20, str(sizes[t])))
            x = end + _GAP
        y += _CELL + 50
    y += 4
    lines = [f"batch_sizes = {sizes}"]
    if not in_order:
        lines += [f"sorted_indices = {order}", f"unsorted_indices = {_inverse(order)}"]
    for content in lines:
        parts.append(text(WIDTH / 2, y, content, kind="code"))
        y += 18
    listed = ", ".join(f"{_NAMES[index]}{t + 1}" for t in range(L) for index in order[: sizes[t]])
    names = ", ".join(f"{_NAMES[index]} of length {length}" for index, length in enumerate(given))
    way = (
        "They are in descending order of length. "
        if in_order
        else (
            f"Sorted by length, the longest first, they are {', '.join(_NAMES[i] for i in order)}. "
        )
    )
    return Figure(
        "Sequences of unequal length, padded and packed",
        f"Sequences padded to {L} time steps: {names}. {way}"
        f"data holds the columns of that grid, one time step after another, without padding: "
        f"{listed}. {'. '.join(lines)}.",
        "".join(parts),
        y - 8,
    )


def _inverse(order: list[int]) -> list[int]:
    """Give for each sequence its place in an order."""
    return [order.index(index) for index in range(len(order))]


def _length(sizes: list[int]) -> float:
    """Give the length of time steps side by side."""
    return sum(sizes) * _CELL + (len(sizes) - 1) * _GAP


def _wrap(sizes: list[int]) -> list[list[int]]:
    """Spread the time steps over rows that fit."""
    rows: list[list[int]] = [[]]
    for t in range(len(sizes)):
        if _length([sizes[u] for u in (*rows[-1], t)]) > WIDTH - 8:
            rows.append([])
        rows[-1].append(t)
    return rows


def _grid(left: float, top: float, lengths: Sequence[int], order: Sequence[int], L: int) -> str:
    """Draw the padded sequences in an order."""
    parts = [_time(left + _CELL * (t + 0.5), top - 6, t) for t in range(L)]
    for row, index in enumerate(order):
        y = top + _CELL * row
        for t in range(L):
            name = f"{_NAMES[index]}{t + 1}" if t < lengths[index] else ""
            parts.append(_cell(left + _CELL * t, y, name))
    return "".join(parts)


def _time(x: float, y: float, t: int) -> str:
    """Write the number of a time step with its digit at `x`."""
    if t:
        return text(x, y, str(t + 1), kind="dim")
    return text(x + text_width("1", SMALL) / 2, y, "t = 1", anchor="end", kind="dim")


def _cell(x: float, y: float, name: str) -> str:
    """Draw one time step of one sequence; without a name it is padding."""
    token = "x" if name else None
    fill, stroke = (0.16, 1.0) if name else (0.0, 0.25)
    square = box(x + 1, y + 1, _CELL - 2, _CELL - 2, token=token, fill=fill, stroke=stroke)
    if name:
        return square + text(x + _CELL / 2, y + 13.7, name, size=SMALL)
    return square + text(x + _CELL / 2, y + 13.7, "0", kind="dim")
