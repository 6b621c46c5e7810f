"""A drawing of yes and no: rows of cells, each filled or hollow."""

from collections.abc import Mapping, Sequence

from .svg import SMALL, WIDTH, Figure, box, text, text_width

__all__ = ["shaded"]

_HEIGHT, _PITCH, _GAP = 22.0, 30.0, 3.0
_LONGEST = 150.0  # a longer label has a line for itself
_WIDEST = 56.0


def shaded(
    rows: Mapping[str, Sequence[bool]],
    columns: Sequence[object],
    *,
    caption: str = "",
    yes: str = "moves",
    no: str = "same",
    title: str | None = None,
    description: str | None = None,
    token: str | None = None,
    axis: str = "",
) -> Figure:
    """Draw rows of cells: a filled one says yes, a hollow one no; a legend says in which words.

    Parameters
    ----------
    rows : mapping of str to sequence of bool
        For each row its label and a value for each column; anything with ``tolist`` will do.
    columns : sequence
        The heads of the columns; where there is too little room for all of them, some.
    caption : str, default ""
        A line under the drawing.
    yes, no : str
        What a filled and a hollow cell mean.
    title, description : str, optional
        As in `Figure`; by default made of the words and of the values.
    token : str, optional
        The ink of the cells.
    axis : str, default ""
        What the columns are, written above them.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If a value is not a bool.
    ValueError
        If there is no row or no column, or a row of another length.

    Examples
    --------
    >>> shaded({"h": [False, True]}, ["step 1", "step 2"]).description
    'h: same at step 1; moves at step 2.'
    """
    heads = [str(column) for column in columns]
    values = _values(rows, len(heads))
    widest = max(text_width(name) for name in values)
    above = widest > _LONGEST
    left = 2.0 if above else widest + 12
    pitch = min(_WIDEST, (WIDTH - left - 2) / len(heads))
    left += 0 if above else max(0.0, (WIDTH - left - 2 - pitch * len(heads)) / 2)
    parts, y = [], 14.0
    if axis:
        parts.append(text(left + pitch * len(heads) / 2, y, axis, size=SMALL))
        y += 17
    parts += _heads(heads, left, pitch, y)
    y += 8
    for name, row in values.items():
        if above:
            parts.append(text(left, y + 14, name, anchor="start"))
            y += 20
        else:
            parts.append(text(left - 10, y + _HEIGHT / 2 + 4.5, name, anchor="end"))
        for place, value in enumerate(row):
            parts.append(_cell(left + pitch * place, y, pitch - _GAP, value, token))
        y += _PITCH
    parts += _legend(y + 6, yes, no, token)
    return Figure(
        title or f"{yes.capitalize()} or {no}",
        description or _description(values, heads, yes, no),
        "".join(parts),
        y + 30,
        caption=caption,
    )


def _values(rows: Mapping[str, Sequence[bool]], count: int) -> dict[str, list[bool]]:
    """Read the rows."""
    if not rows or not count:
        raise ValueError(f"rows and columns should be at least one, got {len(rows)} and {count}")
    values = {}
    for name, given in rows.items():
        row = given.tolist() if hasattr(given, "tolist") else list(given)
        for value in row:
            if not isinstance(value, bool):
                raise TypeError(f"rows[{name!r}] should be bools, got {type(value).__name__}")
        if len(row) != count:
            raise ValueError(f"rows[{name!r}] should have {count} values, got {len(row)}")
        values[name] = row
    return values


def _heads(heads: list[str], left: float, pitch: float, y: float) -> list[str]:
    """Write the heads of the columns, as many as do not touch."""
    every = 1
    while every * pitch < max(text_width(head, SMALL) for head in heads) + 4 and every < len(heads):
        every += 1
    parts = []
    for place, head in list(enumerate(heads))[::every]:
        half = text_width(head, SMALL) / 2 + 1
        middle = max(half, min(left + pitch * (place + 0.5) - _GAP / 2, WIDTH - half))
        parts.append(text(middle, y, head, kind="dim"))
    return parts


def _cell(
    x: float, y: float, width: float, value: bool, token: str | None, height: float = _HEIGHT
) -> str:
    """Draw a cell."""
    fill, stroke = (0.6, 1.0) if value else (0.0, 0.7)
    return box(x, y, width, height, token=token, fill=fill, stroke=stroke, dashed=not value)


def _legend(y: float, yes: str, no: str, token: str | None) -> list[str]:
    """Say what the cells mean."""
    widths = [24 + text_width(word, SMALL) for word in (yes, no)]
    x = (WIDTH - sum(widths) - 18) / 2
    parts = []
    for word, value, width in ((yes, True, widths[0]), (no, False, widths[1])):
        parts.append(_cell(x, y, 16, value, token, 14))
        parts.append(text(x + 22, y + 11, word, anchor="start", size=SMALL))
        x += width + 18
    return parts


def _description(values: dict[str, list[bool]], heads: list[str], yes: str, no: str) -> str:
    """Say for each row where it is what."""
    sentences = []
    for name, row in values.items():
        clauses = []
        for word, wanted in sorted(((yes, True), (no, False)), key=lambda pair: pair[1] != row[0]):
            where = [head for head, value in zip(heads, row, strict=True) if value == wanted]
            if where:
                clauses.append(f"{word} at " + ", ".join(where))
        sentences.append(f"{name}: " + "; ".join(clauses) + ".")
    return " ".join(sentences)
