"""A drawing of ratios: a row for each variant, a column for each size, a bar for each number."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .svg import SMALL, WIDTH, Figure, element, line, text, text_width
from .values import vector

__all__ = ["ladder"]

_MOST_COLUMNS = 4
_BAR, _GAP, _WIDE = 10.0, 10.0, 704.0
_BOUND = "lower bound"


def ladder(
    ratios: Mapping[str, Any],
    heads: Mapping[str, Sequence[Any]],
    *,
    title: str,
    caption: str = "",
    quartiles: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    bounds: Collection[str] = (),
    reference: str = "nn.RNN",
) -> Figure:
    """Draw times as parts of a reference, row by row, with the reference marked in every row.

    A bar is filled where the ratio is below 1, and hollow where it is not; that of a lower bound
    is dashed. All bars have one scale.

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
    quartiles : mapping of str to sequence of (float, float), optional
        For each of some rows the lower and the upper quartile of each ratio.
    bounds : collection of str, default ()
        The rows that are lower bounds and no implementations.
    reference : str, default "nn.RNN"
        What has the ratio 1.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If a ratio or a quartile is not a number.
    ValueError
        If there is no row, not 1 to 4 columns, a row or a head of another length, a ratio that
        is not above 0, or quartiles or bounds of what is no row.

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

    spans = _spans(rows, quartiles or {})
    for name in bounds:
        if name not in rows:
            raise ValueError(f"bounds should be rows of the ladder, got {name!r}")

    left = max(text_width(name, SMALL, "code") for name in [*rows, *([_BOUND] if bounds else [])])
    drawing = _Drawing(rows, heads, spans, bounds, reference)
    description = _description(drawing)
    narrow = drawing.draw(WIDTH, 0.0)
    # In a wide column the names are beside the bars.
    wide = Figure(title, description, *drawing.draw(_WIDE, left + 18), _WIDE)
    return Figure(title, description, *narrow, caption=caption, wide=wide)


def _spans(
    rows: Mapping[str, list[float]], quartiles: Mapping[str, Sequence[tuple[float, float]]]
) -> dict[str, list[list[float]]]:
    """Read the quartiles."""
    spans = {}
    for name, pairs in quartiles.items():
        if name not in rows or len(pairs) != len(rows[name]):
            raise ValueError(f"quartiles[{name!r}] should belong to a row, one pair for each ratio")
        spans[name] = [vector(f"quartiles[{name!r}]", pair, 2) for pair in pairs]
        for low, high in spans[name]:
            if not 0 < low <= high:
                raise ValueError(
                    f"quartiles[{name!r}] should be above 0, the lower first, got {(low, high)}"
                )
    return spans


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What a ladder shows, in every layout."""

    rows: Mapping[str, list[float]]
    heads: Mapping[str, Sequence[Any]]
    spans: Mapping[str, list[list[float]]]
    bounds: Collection[str]
    reference: str

    def draw(self, width: float, left: float) -> tuple[str, float]:
        """Draw one layout: names beside the bars, or above them if `left` is 0."""
        columns = len(next(iter(self.rows.values())))
        pitch = (width - left) / columns
        at = [left + 1 + pitch * column for column in range(columns)]
        numbers = [number for values in self.rows.values() for number in values]
        longest = max(1.0, *numbers, *(high for span in self.spans.values() for _, high in span))
        label = max(text_width(f"{number:.2f}", SMALL) for number in numbers)
        scale = (pitch - _GAP - label - 6) / longest
        parts, y = [], 16.0
        for name, entries in self.heads.items():
            for x, entry in zip(at, entries, strict=True):
                parts.append(text(x, y, f"{name} = {entry}", anchor="start", kind="math"))
            y += 20
        parts.append(line([(0, y - 9), (width, y - 9)], opacity=0.4))
        y += 10
        for x in at:
            # The name of the reference is over its line, as far as there is room.
            half = text_width(self.reference, SMALL, "code") / 2
            middle = min(max(x + scale, x + half), x + pitch - half)
            parts.append(text(middle, y, self.reference, kind="code"))
        y += 12
        for name, values in self.rows.items():
            parts.append(text(0, y + 10, name, anchor="start", kind="code"))
            bound = name in self.bounds
            if bound:
                below = (0.0, y + 25) if left else (text_width(name, SMALL, "code") + 10, y + 10)
                parts.append(text(*below, _BOUND, anchor="start", kind="dim"))
            y += 0 if left else 18
            spans = self.spans.get(name, [None] * columns)
            for x, value, span in zip(at, values, spans, strict=True):
                parts += _bar(x, y, value, scale, span, bound)
            y += 38 if left and bound else 24
        legend, low = self.legend(width, y + 14)
        return "".join([*parts, *legend]), low

    def legend(self, width: float, y: float) -> tuple[list[str], float]:
        """Say what the bars mean, those that there are."""
        kinds = {
            (_faster(value, span), name in self.bounds)
            for name, row in self.rows.items()
            for value, span in zip(row, self.spans.get(name, [None] * len(row)), strict=True)
        }
        words = []
        if (True, False) in kinds:
            words.append("faster")
        if (False, False) in kinds:
            words.append("not faster")
        if self.bounds:
            words.append(f"{_BOUND}, not an implementation")
        if self.spans:
            words.append("quartiles")
        parts, x = [], 1.0
        for word in words:
            needed = 22 + text_width(word, SMALL)
            if x + needed > width:
                x, y = 1.0, y + 18
            if word == "quartiles":
                parts.append(_whisker(x, x + 16, y - 4))
            else:
                parts.append(_rect(x, y - 9, 16, word == "faster", word.startswith(_BOUND)))
            parts.append(text(x + 22, y, word, anchor="start", size=SMALL))
            x += needed + 24
        return parts, y + 8


def _faster(value: float, span: list[float] | None) -> bool:
    """Say whether a bar is that of something faster: all of it, with quartiles."""
    return (value if span is None else span[1]) < 1


def _bar(
    x: float, y: float, value: float, scale: float, span: list[float] | None, bound: bool
) -> list[str]:
    """Draw a bar with its number, its quartiles and the mark of the reference."""
    parts = [
        _rect(x, y, value * scale, _faster(value, span), bound),
        line([(x + scale, y - 4), (x + scale, y + _BAR + 4)]),
    ]
    end = max(1.0, value)
    if span is not None:
        parts.append(_whisker(x + scale * span[0], x + scale * span[1], y + _BAR / 2))
        end = max(end, span[1])
    shown = text(x + end * scale + 4, y + 9, f"{value:.2f}", anchor="start", size=SMALL)
    return [*parts, shown]


def _whisker(low: float, high: float, y: float) -> str:
    """Draw how far it is from the lower to the upper quartile."""
    ends = [line([(edge, y - 3), (edge, y + 3)], width=1.0) for edge in (low, high)]
    return line([(low, y), (high, y)], width=1.0) + "".join(ends)


def _rect(x: float, y: float, width: float, faster: bool, bound: bool) -> str:
    """Draw a bar."""
    fill = 0.12 if bound else 0.55
    return element(
        "rect",
        x=x,
        y=y,
        width=width,
        height=_BAR,
        fill="currentColor" if faster or bound else "none",
        fill_opacity=fill if faster or bound else None,
        stroke="currentColor",
        stroke_width=1,
        stroke_dasharray="3 2" if bound else None,
    )


def _description(drawing: _Drawing) -> str:
    """Say all ratios."""
    words = [f"Ratios to {drawing.reference}, below 1 is faster."]
    for column in range(len(next(iter(drawing.rows.values())))):
        size = ", ".join(f"{_plain(name)} {row[column]}" for name, row in drawing.heads.items())
        found = []
        for name, values in drawing.rows.items():
            said = f"{name} {values[column]:.2f}"
            if name in drawing.spans:
                low, high = drawing.spans[name][column]
                said += f" ({low:.2f} to {high:.2f})"
            found.append(said)
        listed = ", ".join(found)
        words.append(f"For {size}: {listed}." if size else f"{listed}.")
    if drawing.spans:
        words.append("In parentheses: the quartiles.")
    if drawing.bounds:
        listed = ", ".join(drawing.bounds)
        words.append(f"Lower bounds, not implementations: {listed}.")
    return " ".join(words)


def _plain(name: str) -> str:
    """Write mathematics as plain text."""
    return name.replace("{", "").replace("}", "")
