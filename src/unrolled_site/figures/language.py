"""Drawings of text: how a model reads it, and what a unit makes of it."""

from collections.abc import Sequence
from html import escape
from typing import Any

from .svg import SMALL, WIDTH, Figure, arrow, box, element, line, number, signed, text
from .values import vector, whole

__all__ = ["text_streams", "unit_over_text"]

_MOST_STREAMS, _MOST_CHARACTERS = 5, 18
_COLUMNS = 48


def text_streams(rows: Sequence[str], L: int, caption: str = "") -> Figure:
    """Draw streams of text in chunks: the state goes on from chunk to chunk, the gradient does not.

    Parameters
    ----------
    rows : sequence of str
        The beginning of each stream, 1 to 5; all of one length, a multiple of `L`, 18 at most.
    L : int
        Characters in a chunk.
    caption : str, default ""
        A line under the drawing.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If `L` is not an int.
    ValueError
        If the number of streams or a length is out of range.

    Examples
    --------
    >>> text_streams(["to be ", "or not"], 3).title
    '2 streams in 2 chunks of 3 characters'
    """
    L = whole("L", L, 1, _MOST_CHARACTERS)
    if not 1 <= len(rows) <= _MOST_STREAMS:
        raise ValueError(f"rows should be 1 to {_MOST_STREAMS} of them, got {len(rows)}")
    length = len(rows[0])
    for row in rows:
        if len(row) != length or not 0 < length <= _MOST_CHARACTERS or length % L:
            raise ValueError(
                f"rows should have one length, a multiple of L = {L}, at most {_MOST_CHARACTERS}, "
                f"got lengths {[len(row) for row in rows]}"
            )
    chunks, gap, edge, pitch, top = length // L, 26.0, 12.0, 26.0, 26.0
    cell = min(20.0, (WIDTH - 2 * edge - gap * (chunks - 1)) / length)
    span = cell * L
    left = (WIDTH - length * cell - gap * (chunks - 1)) / 2
    foot = top + pitch * len(rows)
    parts = []
    for chunk in range(chunks):
        x = left + chunk * (span + gap)
        parts.append(text(x + span / 2, top - 10, f"chunk {chunk + 1}", size=SMALL))
        for n, row in enumerate(rows):
            y = top + pitch * n
            for place in range(L):
                character = row[chunk * L + place]
                at = x + place * cell
                parts.append(box(at + 0.5, y, cell - 1, pitch - 5, token="x", fill=0.14, stroke=0))
                if shown := _shown(character).strip("\u00a0"):
                    parts.append(text(at + cell / 2, y + 15, shown, kind="code"))
            if chunk < chunks - 1:
                middle = y + (pitch - 5) / 2
                parts.append(
                    arrow([(x + span + 3, middle), (x + span + gap - 3, middle)], token="h")
                )
        stop = foot + 10
        parts.append(arrow([(x + span, stop), (x + 3, stop)], token="grad"))
        parts.append(line([(x, stop - 7), (x, stop + 7)], token="grad", width=2.0))
    y = foot + 40
    parts.append(text(WIDTH / 2 - 12, y, [("state", "h"), (" goes on", None)], anchor="end"))
    parts.append(
        text(WIDTH / 2 + 12, y, [("gradient", "grad"), (" stops here", None)], anchor="start")
    )
    kinds = ", ".join(f"chunk {n + 1}" for n in range(chunks))
    # A newline as it is drawn: read aloud, an escape is no better than on a page.
    drawn = [row.replace("\n", "↵") for row in rows]
    listed = "; ".join(f"stream {n + 1} reads {row!r}" for n, row in enumerate(drawn))
    return Figure(
        f"{len(rows)} streams in {chunks} chunks of {L} characters",
        f"{len(rows)} rows of characters below each other, cut into {kinds}: {listed}. In every "
        "row an arrow goes from each chunk to the next: the state. Under every chunk an arrow goes "
        "from its last character to its first, and stops there: the gradient.",
        "".join(parts),
        y + 10,
        caption=caption,
    )


def unit_over_text(
    content: str,
    values: Any,
    *,
    title: str,
    description: str,
    caption: str = "",
) -> Figure:
    """Draw the value of one unit after each character of a text.

    Under a character there is a bar, upwards for a value above 0 and downwards for one below; the
    character has a background in the same colour, the stronger the farther the value is from 0.

    Parameters
    ----------
    content : str
        L characters; newlines are shown as arrows, and lines are broken where the width ends.
    values : array_like, shape (L,)
        From -1 to 1.
    title : str
        As in `Figure`.
    description : str
        What it shows; the smallest and the largest value, each with its place, are added.
    caption : str, default ""
        A line under the drawing.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If a value is not a number.
    ValueError
        If there are not as many values as characters, at least one, or one is not from -1 to 1.

    Examples
    --------
    >>> unit_over_text("so!", [0.5, 0.0, -1.0], title="A unit", description="It falls.").description
    "It falls. Largest: 0.50 after 's' at character 1 of 3. Smallest: −1.00 after 'so!' at \
character 3 of 3."
    """
    numbers = vector("values", values, len(content))
    for value in numbers:
        if not -1 <= value <= 1:
            raise ValueError(f"values should be numbers from -1 to 1, got {value}")
    cell = (WIDTH - 8) / _COLUMNS
    left, height, reach, pitch = 4.0, 16.0, 10.0, 46.0
    parts = []
    for row, start in enumerate(range(0, len(content), _COLUMNS)):
        shown = "".join(map(_shown, content[start : start + _COLUMNS]))
        top = 2 + row * pitch
        axis = top + height + 3 + reach
        bars = {"h": "", "": ""}  # above 0, below 0
        for column, value in enumerate(numbers[start : start + _COLUMNS]):
            x, token = left + column * cell, "h" if value > 0 else ""
            if abs(value) >= 0.05:
                parts.append(
                    element(
                        "rect",
                        x=x,
                        y=top,
                        width=cell,
                        height=height,
                        fill="currentColor",
                        fill_opacity=0.35 * abs(value),
                        class_="u-h" if token else "f-dim",
                    )
                )
            side = number(cell - 1.5)
            bars[token] += (
                f"M{number(x + 0.75)} {number(axis)}h{side}v{number(-reach * value)}h-{side}z"
            )
        parts.append(
            element(
                "text",
                escape(shown, quote=False),
                x=left,
                y=top + 12.5,
                font_size=SMALL,
                textLength=cell * len(shown),  # one cell a character, whatever the font
                fill="currentColor",
                class_="f-code",
            )
        )
        for token, d in bars.items():
            if d:
                parts.append(
                    element("path", d=d, fill="currentColor", class_="u-h" if token else "f-dim")
                )
        end = left + cell * len(shown)
        parts.append(line([(left, axis), (end, axis)], width=0.75, opacity=0.5))
    rows = -(-len(content) // _COLUMNS)
    return Figure(
        title,
        f"{description} {_extreme('Largest', max(numbers), content, numbers)} "
        f"{_extreme('Smallest', min(numbers), content, numbers)}",
        "".join(parts),
        rows * pitch,
        caption=caption,
    )


def _shown(character: str) -> str:
    """Make a character visible, and a space one that SVG keeps."""
    return {"\n": "↵", " ": "\u00a0"}.get(character, character)


def _extreme(name: str, value: float, content: str, numbers: list[float]) -> str:
    """Say where a value comes first."""
    place = numbers.index(value)
    before = " ".join(content[max(0, place - 11) : place + 1].split())
    return f"{name}: {signed(value)} after '{before}' at character {place + 1} of {len(content)}."
