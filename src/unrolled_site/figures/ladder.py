"""A drawing of ratios: a row for each variant, a column for each size, a bar for each number."""

from collections.abc import Mapping, Sequence
from typing import Any

from .svg import WIDTH, Figure, element, line, text, text_width
from .values import vector

__all__ = ["ladder"]

_MOST_COLUMNS = 4
_PITCH, _BAR, _GAP = 30.0, 7.0, 8.0


def ladder(
    ratios: Mapping[str, Any],
    heads: Mapping[str, Sequence[Any]],
    *,
    title: str,
    caption: str = "",
) -> Figure:
    """Draw times as parts of a reference, row by row, with the reference marked in every bar.

    A bar is filled where the ratio is below 1, and hollow where it is not. All bars have one scale.

    Parameters
    ----------
    ratios : mapping of str to array_like
        For each row its name and a ratio for each column, above 0.
    heads : mapping of str to sequence
        Lines above the columns: what each is called, as in mathematics, and its entries.
    title : str
        As in `Figure`; the description is made of the ratios.
    caption : str, default ""
        A line under the drawing.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If a ratio is not a number.
    ValueError
        If there is no row, not 1 to 4 columns, a row or a head of another length, or a ratio that
        is not above 0.

    Examples
    --------
    >>> figure = ladder({"textbook": [1.3, 2.6], "in_place": [0.5, 0.6]},
    ...                 {"N": [3, 1], "L": [5, 100]}, title="Two rungs")
    >>> figure.description.split(". ")[1]
    'For N 3, L 5: textbook 1.30, in_place 0.50'
    """
    if not ratios:
        raise ValueError("ratios should have at least one row, got none")
    columns = len(next(vector(f"ratios[{name!r}]", values) for name, values in ratios.items()))
    if columns > _MOST_COLUMNS:
        raise ValueError(f"ratios should have 1 to {_MOST_COLUMNS} columns, got {columns}")
    rows = {name: vector(f"ratios[{name!r}]", values, columns) for name, values in ratios.items()}
    for name, values in rows.items():
        if min(values) <= 0:
            raise ValueError(f"ratios[{name!r}] should be numbers above 0, got {min(values)}")
    for name, entries in heads.items():
        if len(entries) != columns:
            raise ValueError(f"heads[{name!r}] should have {columns} entries, got {len(entries)}")

    left = max(text_width(name, kind="code", size=12) for name in rows) + 14
    width = (WIDTH - left) / columns
    scale = (width - _GAP) / max(1.0, *(value for values in rows.values() for value in values))
    at = [left + width * column for column in range(columns)]
    parts, y = [], 16.0
    for name, entries in heads.items():
        parts.append(text(left - 14, y, name, anchor="end", kind="math", size=13))
        parts += [
            text(x, y, str(entry), anchor="start") for x, entry in zip(at, entries, strict=True)
        ]
        y += 16
    parts.append(line([(0, y - 8), (WIDTH, y - 8)], opacity=0.4))
    y += 12
    for name, values in rows.items():
        parts.append(text(0, y + 4, name, anchor="start", kind="code"))
        for x, value in zip(at, values, strict=True):
            top = y + 4
            parts += [
                text(x, y, f"{value:.2f}", anchor="start", size=12),
                element(
                    "rect",
                    x=x,
                    y=top,
                    width=value * scale,
                    height=_BAR,
                    fill="currentColor" if value < 1 else "none",
                    fill_opacity=0.55 if value < 1 else None,
                    stroke="currentColor",
                    stroke_width=1,
                ),
                line([(x + scale, top - 3), (x + scale, top + _BAR + 3)]),
            ]
        y += _PITCH
    return Figure(title, _description(rows, heads), "".join(parts), y - 8, caption=caption)


def _description(rows: Mapping[str, list[float]], heads: Mapping[str, Sequence[Any]]) -> str:
    words = ["Ratios to the reference, below 1 is faster."]
    for column in range(len(next(iter(rows.values())))):
        size = ", ".join(f"{_plain(name)} {entries[column]}" for name, entries in heads.items())
        found = ", ".join(f"{name} {values[column]:.2f}" for name, values in rows.items())
        words.append(f"For {size}: {found}." if size else f"{found}.")
    return " ".join(words)


def _plain(name: str) -> str:
    return name.replace("{", "").replace("}", "")
